"""Functions with a way back of their own, and the context that does without it.

JAX runs such a rule in reverse mode only, but differentiates the rule itself in either: gradients, gradients of
gradients and `jax.hessian` need nothing (but for `backend="newton"`, which raises a ValueError: take "scan"). Forward
mode (`jax.jvp`, `jax.jacfwd`, `jax.linearize`) needs `forward_mode`.
"""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax

from nlpx.errors import InputError

_OWN = jax.make_user_context(True)  # part of the key under which `jax.jit` keeps what it traced


def forward_mode() -> AbstractContextManager[None]:
    """A context in which JAX differentiates every function of ours by its own rules, in forward mode too.

        with ops.forward_mode():
            y, d_y = jax.jvp(lambda variables: layer.apply(variables, x)[0], (variables,), (direction,))

    Values are the same; a way back is slower here and keeps more. Elman, LSTM and GRU go one step after the other, so
    what was asked of `backend="newton"` is computed as by "scan". "cudnn" has no forward mode.
    """
    return _OWN(False)


class OwnGradient:
    """`jax.custom_vjp` that `forward_mode` switches off.

    Args:
      plain: what is called instead then; None: the function itself, without its rule.
    """

    def __init__(self, function: Callable, nondiff_argnums: tuple[int, ...] = (), plain: Callable | None = None):
        self.ruled = jax.custom_vjp(function, nondiff_argnums=nondiff_argnums)
        self.plain = plain or function
        self.defvjp = self.ruled.defvjp
        functools.update_wrapper(self, function)

    def __call__(self, *arguments: Any) -> Any:
        """Raises:
        ValueError: forward mode outside of `forward_mode`. (Of what `jax.jit` has traced, JAX itself says so.)
        """
        if not _OWN.value:
            return self.plain(*arguments)
        try:
            return self.ruled(*arguments)
        except TypeError as error:
            if "forward-mode" not in str(error):
                raise
            raise InputError(
                "jax.jvp, jax.jacfwd and jax.linearize cannot go through a gradient of our own: call them within "
                "`with nlpx.ops.forward_mode():`"
            ) from error
