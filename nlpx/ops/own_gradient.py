"""Functions with a gradient rule of their own, and a context that switches the rules off.

JAX applies such a rule in reverse mode only, but can differentiate the rule itself in either mode. So gradients,
gradients of gradients and `jax.hessian` just work (except with `backend="newton"`, which raises a ValueError: use
"scan"). Forward mode (`jax.jvp`, `jax.jacfwd`, `jax.linearize`) needs `forward_mode`.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax

from nlpx.errors import InputError
from nlpx.ops.meshes import alike, on_auto_axes

_OWN = jax.make_user_context(True)  # part of the key of `jax.jit`'s cache


def forward_mode() -> AbstractContextManager[None]:
    """Return a context in which JAX differentiates all our functions by its own rules, in forward mode too.

        with ops.forward_mode():
            y, d_y = jax.jvp(lambda variables: layer.apply(variables, x)[0], (variables,), (direction,))

    Values are the same, but a backward pass is slower and keeps more. Elman, LSTM and GRU run one step after the other,
    so `backend="newton"` means "scan" here. "cudnn" has no forward mode.
    """
    return _OWN(False)


class OwnGradient:
    """A `jax.custom_vjp` that `forward_mode` switches off.

    Args:
      plain: the function to call then; None: `function` itself, without its rule.
    """

    def __init__(self, function: Callable, nondiff_argnums: tuple[int, ...] = (), plain: Callable | None = None):
        self.ruled = jax.custom_vjp(function, nondiff_argnums=nondiff_argnums)
        self.plain = plain or function
        self.defvjp = self.ruled.defvjp
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Call the function. Forward mode outside `forward_mode` raises a ValueError; under `jax.jit`, JAX's error."""
        arguments = alike(arguments)
        if not _OWN.value:
            return on_auto_axes(self.plain, arguments)
        try:
            return on_auto_axes(self.ruled, arguments)
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise InputError(
                "jax.jvp, jax.jacfwd and jax.linearize cannot go through a gradient of our own: call them within "
                "`with nlpx.ops.forward_mode():`"
            ) from error
