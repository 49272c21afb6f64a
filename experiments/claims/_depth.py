"""The longest chain of operations that wait for one another: what no hardware, however parallel, can shorten."""

from typing import Any

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal


def chain(program: ClosedJaxpr | Jaxpr) -> int:
    """Return the number of operations on the longest path from an input to an output. A product of matrices or a sum
    counts as one, and a loop as its turns one after another.

    Raises:
      ValueError: a loop whose number of turns is not known.
    """
    jaxpr = program.jaxpr if isinstance(program, ClosedJaxpr) else program
    depth: dict[Any, int] = {}
    for equation in jaxpr.eqns:
        before = max((depth.get(each, 0) for each in equation.invars if not isinstance(each, Literal)), default=0)
        for out in equation.outvars:
            depth[out] = before + _cost(equation)
    return max((depth.get(out, 0) for out in jaxpr.outvars if not isinstance(out, Literal)), default=0)


def _cost(equation: Any) -> int:
    if equation.primitive.name == "while":
        raise ValueError("a loop of unknown length has no known chain")
    values = [each for value in equation.params.values() for each in (value if isinstance(value, tuple) else (value,))]
    inner = [chain(each) for each in values if isinstance(each, ClosedJaxpr | Jaxpr)]
    return max(inner, default=1) * equation.params.get("length", 1) if inner else 1
