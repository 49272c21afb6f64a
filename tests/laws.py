"""The laws that every sequence layer and model obeys, each stated once, and how tests measure a difference."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from nlpx.layers import Positions

BATCH, LENGTH, PREFIX, ALONE, WIDTH = 5, 6, 2, 4, 8
CAPACITY = PREFIX + LENGTH  # not a slot more than the longest sequence needs
seeds = st.integers(0, 99)

jit = jax.jit


def assert_close(actual, expected, tolerance=1e-5):
    """In each leaf, the largest absolute difference is at most `tolerance` times the largest absolute one expected."""
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for (path, e), a in zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(actual), strict=True):
        e, a, name = np.asarray(e, float), np.asarray(a, float), jax.tree_util.keystr(path)
        np.testing.assert_allclose(a, e, rtol=0, atol=tolerance * np.abs(e).max(initial=0), err_msg=name)


def assert_identical(actual, expected):
    """Every bit the same, and all numbers finite."""
    jax.tree.map(np.testing.assert_array_equal, actual, expected)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(actual))


def same_models(one, other):
    """Whether two models, each with its variables, are the same, bit for bit."""
    trees = [each[1] for each in (one, other)]
    equal = jax.tree.map(lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes(), *trees)
    return one[0] == other[0] and all(jax.tree.leaves(equal))


def randomized(variables, scale=0.3):
    """Parameters of which none, biases included, is zero or one."""
    rng = np.random.default_rng(0)

    def moved(leaf):
        return jnp.asarray(np.asarray(leaf) + rng.normal(0, scale, leaf.shape).astype(leaf.dtype))

    return jax.tree.map(moved, variables)


def random_variables(init, *arguments, scale=0.3):
    """Random parameters of the shapes that `init` gives them, around one in a norm's scale and around zero elsewhere.

    It is not run: a program that draws initial values takes longer to compile than the gradients of a model.
    """

    def center(path, leaf):
        return np.full(leaf.shape, getattr(path[-1], "key", None) == "scale", leaf.dtype)

    shapes = jax.eval_shape(init, jax.random.key(0), *arguments)
    return randomized(jax.tree_util.tree_map_with_path(center, shapes), scale)


class Begun:
    """A task whose parameters begin as `random_variables`, so that an engine's first program draws none."""

    def __init__(self, task):
        self.task = task

    def __getattr__(self, name):
        return getattr(self.task, name)

    def init(self, key):
        return random_variables(self.task.init)


def with_gradients(function, *arguments, weights=None):
    """A function's results, and the gradients of their sum, weighted, by each argument."""

    def objective(*arguments):
        results = function(*arguments)
        given = weights or jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), results)
        return sum(jax.tree.leaves(jax.tree.map(lambda a, w: (a * w).sum(), results, given))), results

    gradients, results = jit(jax.grad(objective, argnums=tuple(range(len(arguments))), has_aux=True))(*arguments)
    return results, gradients


class Subject:
    """A module with random parameters, compiled once a shape. Results are numpy arrays."""

    def __init__(self, module):
        self.module = module
        self.vocab_size = getattr(module, "vocab_size", None)
        self.zero_where_masked = self.vocab_size is None and not isinstance(module, Positions)
        self.causal = getattr(module, "causal", True)

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

    @functools.cached_property
    def variables(self):
        return random_variables(self.module.init, self.inputs(0, 1))

    @functools.cached_property
    def initial_state(self):
        sized = "capacity" in inspect.signature(self.module.initial_state).parameters
        arguments = (BATCH, CAPACITY) if sized else (BATCH,)
        return jax.device_get(self.module.apply(self.variables, *arguments, method="initial_state"))

    @functools.cached_property
    def later_state(self):
        """After a prefix, some steps of which are masked."""
        mask = np.array([[1, 1], [0, 1], [1, 0], [0, 0], [1, 1]], bool)
        return self.run(self.inputs(1, PREFIX), self.initial_state, mask)[1]

    @functools.cached_property
    def _run(self):
        return jit(lambda variables, x, state, mask: self.module.apply(variables, x, state=state, mask=mask))

    def run(self, x, state=None, mask=None):
        return jax.device_get(self._run(self.variables, x, state, mask))

    @functools.cached_property
    def _gradients(self):
        def weigh(rows):  # any fixed weights that tell the features apart
            rows = rows.reshape(rows.shape[0], -1)
            return rows @ jnp.cos(jnp.arange(rows.shape[1]))

        def objective(variables, x, state, mask, weights):
            y, state = self.module.apply(variables, x, state=state, mask=mask)
            real = y if mask is None else jnp.where(mask[..., None], y, 0)
            of_outputs = jax.vmap(weigh, in_axes=1, out_axes=1)(real) * weights
            floats = [leaf for leaf in jax.tree.leaves(state) if jnp.issubdtype(leaf.dtype, jnp.floating)]
            of_state = sum((weigh(leaf) * weights.any(axis=1)).sum() for leaf in floats)
            return of_outputs.sum() + of_state, (real if isinstance(self.module, Positions) else y, state)

        def gradients(*arguments):
            grads, result = jax.grad(objective, argnums=(0, 1, 2), has_aux=True, allow_int=True)(*arguments)
            return jax.tree.map(lambda leaf: None if leaf.dtype == jax.dtypes.float0 else leaf, grads), result

        return jit(gradients)

    def gradients(self, x, state, mask, weights):
        """Of a weighted sum of all real outputs and of the state: by parameters, inputs and state; and the results."""
        return jax.device_get(self._gradients(self.variables, x, state, mask, weights))


def check_chunks(subject, data):
    """Chunk law: in parts of any sizes, with the state passed on, as at once: outputs and final state."""
    x = subject.inputs(data.draw(seeds), LENGTH)
    mask = data.draw(st.none() | arrays(bool, (BATCH, LENGTH)))  # also holes and rows without a single real step
    least = 1 if mask is not None else 2  # every size is a program of its own
    anew = data.draw(st.booleans())
    state = before = subject.initial_state if anew else subject.later_state
    parts, begin = [], 0
    while begin < LENGTH:
        part = slice(begin, begin + data.draw(st.integers(least, min(2, LENGTH - begin))))
        y, state = subject.run(x[:, part], state, None if mask is None else mask[:, part])
        parts.append(y)
        begin = part.stop
    whole, after = subject.run(x, before, mask)
    chunked = np.concatenate(parts, axis=1)
    assert_close((chunked, state), (whole, after))
    if anew and mask is None:  # so does a state of None
        assert_close(chunked, subject.run(x, None, mask)[0])
    if mask is not None:
        idle = ~mask.any(axis=1)
        assert_identical(jax.tree.map(lambda leaf: leaf[idle], after), jax.tree.map(lambda leaf: leaf[idle], before))


def check_padding(subject, data):
    """Padding law: what stands at masked positions changes no bit of an output or gradient; and a sequence padded left,
    right or with holes, beside other rows, gives what it gives alone, gradients too."""
    steps = np.arange(LENGTH)
    holes = np.isin(steps, data.draw(st.permutations(steps))[:ALONE])
    mask = np.stack([steps >= LENGTH - ALONE, steps < ALONE, holes, data.draw(arrays(bool, LENGTH)), steps < 0])
    alone = subject.inputs(data.draw(seeds), ALONE, batch=1)
    x = subject.inputs(data.draw(seeds), LENGTH)
    weights = np.zeros(mask.shape, np.float32)
    for row in range(3):  # the same sequence in each; the rows after them hold another and none
        x[row, mask[row]] = alone[0]
        weights[row, mask[row]] = np.arange(1, ALONE + 1)

    junk = data.draw(st.sampled_from([np.nan, np.inf, -np.inf, 1e4]))
    for state in [None, subject.later_state] if subject.causal else [None]:
        spoiled, clean = (subject.gradients(subject.spoil(x, mask, v), state, mask, weights) for v in (junk, 0))
        assert_identical(spoiled, clean)
        (_, by_x, _), (y, _) = spoiled
        if by_x is not None:
            assert not by_x[~mask].any()
        if subject.zero_where_masked:
            assert not y[~mask].any()

    weights_alone = np.arange(1, ALONE + 1, dtype=np.float32)[None]
    (by_variables, by_x, _), (y, state) = subject.gradients(alone, None, None, weights_alone)
    (by_variables_padded, by_x_padded, _), (y_padded, state_padded) = subject.gradients(
        subject.spoil(x, mask, junk), None, mask, weights
    )
    assert_close(by_variables_padded, jax.tree.map(lambda leaf: 3 * leaf, by_variables))
    for row in range(3):
        assert_close(y_padded[row, mask[row]], y[0])
        assert_close(jax.tree.map(lambda leaf: leaf[row], state_padded), jax.tree.map(lambda leaf: leaf[0], state))  # noqa: B023
        if by_x is not None:
            assert_close(by_x_padded[row, mask[row]], by_x[0])


def changed_by_a_token(subject, data):
    """Another token at one step: which outputs before it change, and which at it."""
    at = data.draw(st.integers(1, LENGTH - 1))
    x = subject.inputs(data.draw(seeds), LENGTH)
    other = x.copy()
    other[:, at] = (x[:, at] + 1) % subject.vocab_size if subject.vocab_size else -x[:, at]
    changed = (subject.run(x)[0] != subject.run(other)[0]).any(axis=-1)
    return changed[:, :at], changed[:, at]
