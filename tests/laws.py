"""The laws that every sequence layer and model obeys, each stated once, and how tests measure a difference."""

import inspect
from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlpx.layers import Positions

BATCH, LENGTH, PREFIX, WIDTH, VOCAB = 3, 6, 3, 8, 11
CAPACITY = PREFIX + LENGTH  # not a slot more than the longest sequence needs


def assert_close(actual, expected, tolerance=1e-5):
    """In each leaf, the largest absolute difference is at most `tolerance` times the largest absolute expected value."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, e), a in zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(actual), strict=True):
        e, a, name = np.asarray(e, float), np.asarray(a, float), jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * np.abs(e).max(initial=0), err_msg=name)


def assert_identical(actual, expected):
    """Every bit the same, and all numbers finite."""
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(actual))


def randomized(variables, seed=0):
    """Parameters of which none, biases included, is zero or one."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: leaf + rng.normal(0, 0.3, leaf.shape).astype(leaf.dtype), variables)


def masks(length, batch=BATCH):
    """Any mask: holes, rows without a single real step; or none."""
    return st.none() | arrays(bool, (batch, length))


class Subject:
    """A module with random parameters, compiled once a shape."""

    def __init__(self, module):
        self.module = module
        self.vocab_size = getattr(module, "vocab_size", None)
        self.zero_where_masked = self.vocab_size is None and not isinstance(module, Positions)

    def inputs(self, seed, length, batch=BATCH):
        rng = np.random.default_rng(seed)
        if self.vocab_size:
            return rng.integers(0, self.vocab_size, (batch, length), np.int32)
        return rng.normal(size=(batch, length, WIDTH)).astype(np.float32)

    def spoil(self, x, mask, value):
        """Writes `value` wherever the mask is False; for tokens one that is no token, unless the value is finite."""
        if self.vocab_size:
            return np.where(mask, x, 1 if np.isfinite(value) else self.vocab_size + 7)
        return np.where(mask[..., None], x, np.float32(value))

    @cached_property
    def variables(self):
        return randomized(self.module.init(jax.random.key(0), jnp.asarray(self.inputs(0, 1))))

    @cached_property
    def initial_state(self):
        sized = "capacity" in inspect.signature(self.module.initial_state).parameters
        arguments = (BATCH, CAPACITY) if sized else (BATCH,)
        return self.module.apply(self.variables, *arguments, method="initial_state")

    @cached_property
    def later_state(self):
        """After a prefix: of all steps, with holes, of none."""
        mask = np.array([[1, 1, 1], [1, 0, 1], [0, 0, 0]], bool)
        return self.run(self.inputs(1, PREFIX), self.initial_state, mask)[1]

    def states(self):
        if not getattr(self.module, "causal", True):
            return st.just("none")
        return st.sampled_from(["none", "initial", "later"])

    def state(self, name):
        return None if name == "none" else getattr(self, f"{name}_state")

    @cached_property
    def _run(self):
        return jax.jit(lambda variables, x, state, mask: self.module.apply(variables, x, state=state, mask=mask))

    def run(self, x, state=None, mask=None):
        return self._run(self.variables, x, state, mask)

    @cached_property
    def _gradients(self):
        def weigh(rows):  # any fixed weights that tell the features apart
            rows = rows.reshape(rows.shape[0], -1)
            return rows @ jnp.cos(jnp.arange(rows.shape[1]))

        def objective(variables, x, state, mask, weights):
            y, state = self.module.apply(variables, x, state=state, mask=mask)
            y = y if mask is None else jnp.where(mask[..., None], y, 0)
            total = jax.vmap(weigh, in_axes=1, out_axes=1)(y) * weights
            counted = weights.any(axis=1)
            floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
            return total.sum() + sum((weigh(leaf) * counted).sum() for leaf in floats), (y, state)

        def without_integers(tree):
            return jax.tree.map(lambda leaf: None if leaf.dtype == jax.dtypes.float0 else leaf, tree)

        def gradients(*arguments):
            grads, result = jax.grad(objective, argnums=(0, 1, 2), has_aux=True, allow_int=True)(*arguments)
            return without_integers(grads), result

        return jax.jit(gradients)

    def gradients(self, x, state, mask, weights):
        """Of a weighted sum of all real outputs and of the state: by parameters, inputs and state; and the results."""
        return self._gradients(self.variables, x, state, mask, weights)


def check_chunks(subject, data):
    """Chunk law: in parts of any sizes, with the state passed on, as at once: outputs and final state."""
    x = subject.inputs(data.draw(st.integers(0, 99)), LENGTH)
    mask = data.draw(masks(LENGTH))
    start = data.draw(st.sampled_from(["initial", "later"]))
    state = before = subject.state(start)
    parts, begin = [], 0
    while begin < LENGTH:
        part = slice(begin, begin + data.draw(st.integers(1, min(3, LENGTH - begin))))
        y, state = subject.run(x[:, part], state, None if mask is None else mask[:, part])
        parts.append(y)
        begin = part.stop
    whole, final = subject.run(x, before, mask)
    chunked = np.concatenate(parts, axis=1)
    assert_close((chunked, state), (whole, final))
    if start == "initial":  # a state of None begins anew
        assert_close(chunked, subject.run(x, None, mask)[0])
    if mask is not None:
        assert_unmoved(mask, before, final)
    return x, mask, chunked, whole


def assert_unmoved(mask, before, after):
    """A row without a real step keeps its state to the bit."""
    idle = ~mask.any(axis=1)
    assert_identical(jax.tree.map(lambda leaf: leaf[idle], after), jax.tree.map(lambda leaf: leaf[idle], before))


def check_junk(subject, data):
    """Padding law, first half: what stands at masked positions changes not a bit of any output or gradient."""
    mask = data.draw(arrays(bool, (BATCH, LENGTH)))
    state = subject.state(data.draw(subject.states()))
    x = subject.inputs(data.draw(st.integers(0, 99)), LENGTH)
    weights = np.random.default_rng(0).normal(size=(BATCH, LENGTH)).astype(np.float32)
    clean, spoiled = (
        subject.gradients(subject.spoil(x, mask, value), state, mask, weights)
        for value in (0.0, data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e4])))
    )
    assert_identical(spoiled, clean)
    (_, by_x, _), _ = spoiled
    if by_x is not None:
        assert not np.asarray(by_x)[~mask].any()
    if subject.zero_where_masked:
        assert not np.asarray(subject.run(x, state, mask)[0])[~mask].any()


def check_padding(subject, data):
    """Padding law, second half: padded left, right or with holes, beside other rows: as alone, gradients too."""
    real, length = 4, 7
    steps = np.arange(length)
    holes = np.isin(steps, data.draw(st.permutations(steps))[:real])
    mask = np.stack([steps >= length - real, steps < real, holes, steps < real + 1, steps < 0])
    same = slice(0, 3)  # the first three rows hold one sequence, the others something else or nothing
    alone = subject.inputs(data.draw(st.integers(0, 99)), real, batch=1)
    x = subject.inputs(data.draw(st.integers(0, 99)), length, batch=5)
    x = subject.spoil(x, mask, np.nan)
    weights = np.zeros(mask.shape, np.float32)
    for row in range(3):
        x[row, mask[row]] = alone[0]
        weights[row, mask[row]] = np.arange(1, real + 1)
    (by_alone, by_x_alone, _), (y_alone, state_alone) = subject.gradients(
        alone, None, None, np.arange(1, real + 1, dtype=np.float32)[None]
    )
    (by_variables, by_x, _), (y, state) = subject.gradients(x, None, mask, weights)
    assert_close(by_variables, jax.tree.map(lambda leaf: 3 * leaf, by_alone))
    for row in range(3):
        assert_close(y[row, mask[row]], y_alone[0])
        if by_x is not None:
            assert_close(by_x[row, mask[row]], by_x_alone[0])
    repeated = jax.tree.map(lambda leaf: np.repeat(leaf, 3, axis=0), state_alone)
    assert_close(jax.tree.map(lambda leaf: leaf[same], state), repeated)


def earlier_and_later(subject, data):
    """Whether another token at a step changes outputs before it, and at it."""
    at = data.draw(st.integers(1, LENGTH - 1))
    x = subject.inputs(data.draw(st.integers(0, 99)), LENGTH)
    other = x.copy()
    other[:, at] = (x[:, at] + 1) % subject.vocab_size if subject.vocab_size else -x[:, at]
    y, y_other = (np.asarray(subject.run(inputs)[0]) for inputs in (x, other))
    changed = (y != y_other).any(axis=-1)
    return changed[:, :at], changed[:, at]
