import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from laws import Subject, assert_close, changed_by_a_token, check_chunks, check_padding, jit, random_variables

from nlpx.config import CaptionerConfig
from nlpx.models import Captioner, attention_weights
from nlpx.models.captioner import PictureGrid

V, T, SHAPE = 11, 4, (8, 12, 1)
PICTURES = jnp.asarray(np.random.default_rng(5).integers(0, 256, (3, *SHAPE)).astype(np.uint8))
INPUTS = jnp.asarray(np.random.default_rng(6).integers(0, V, (3, T), np.int32))


def model(arch="gru", attention="bahdanau", shape=SHAPE, **options):
    sizes = {"layers": 1, "width": 8, "heads": 2, "hidden": 12, "patch": 4, **options}
    return CaptionerConfig(arch, attention=attention, **sizes).build(V - 2, shape=shape, max_length=16)


MODELS = {
    "cnn-none": model("lstm", "none", layers=2),
    "cnn-bahdanau": model("lstm"),
    "cnn-luong": model("gru", "luong", patch=2),
    "cnn-transformer": model("transformer", layers=2, tied=False),
    "patches-bahdanau": model("gru", encoder="patches"),
    "patches-transformer": model("transformer", encoder="patches", positions="sinusoidal", dropout=0.5),
}
LESS = ("cnn-none", "cnn-luong", "cnn-transformer", "patches-bahdanau")
ALL = [pytest.param(name, marks=[pytest.mark.slow] * (name in LESS)) for name in MODELS]


class Decoder(Captioner):
    """A captioner of one picture: a sequence layer, under the laws of one."""

    causal = True

    def start(self, rows):
        return self.encode(jnp.broadcast_to(PICTURES[2], (rows, *SHAPE)))

    def initial_state(self, batch_size, capacity):
        return super().initial_state(self.start(batch_size), capacity)

    def __call__(self, x, *, state=None, mask=None):
        return self.decode(x, self.start(x.shape[0]), state=state, mask=mask)


def subject(name):
    each = MODELS[name]
    return Subject(Decoder(each.vocab_size, each.config, each.max_length, shape=each.shape))


@pytest.fixture(scope="module", params=[pytest.param("cnn-bahdanau", marks=pytest.mark.slow), "patches-transformer"])
def decoder(request):
    return subject(request.param)


@pytest.mark.slow
@given(data=st.data())
def test_chunks_of_the_caption_give_what_the_whole_gives(decoder, data):
    check_chunks(decoder, data)


@pytest.mark.slow
@given(data=st.data())
def test_padding_of_the_caption_changes_nothing(decoder, data):
    check_padding(decoder, data)


@given(data=st.data())
def test_a_token_changes_no_logits_before_it(decoder, data):
    before, at = changed_by_a_token(decoder, data)
    assert not before.any()
    assert at.all()


def compiled(name):
    each = MODELS[name]
    variables = random_variables(each.init, *each.example_inputs())
    return variables, jit(lambda pictures: each.apply(variables, pictures, INPUTS))


@pytest.mark.parametrize("name", ALL)
def test_every_place_matters_and_rows_are_apart(name):
    _, run = compiled(name)
    logits, patch = run(PICTURES), MODELS[name].config.patch
    for row, y, x in ((0, 0, 0), (1, SHAPE[0] - 1, 0), (2, 3, SHAPE[1] - 1)):
        area = np.s_[row, y // patch * patch :, x // patch * patch :]
        other = PICTURES.at[area].set(255 - PICTURES[area])
        changed = (run(other) != logits).any(axis=(1, 2))
        assert changed.tolist() == [each == row for each in range(3)]


@pytest.mark.parametrize("name", [pytest.param(each.values[0], marks=each.marks) for each in ALL[1:]])
def test_attention_weights_are_a_distribution_over_the_grid(name):
    variables, _ = compiled(name)
    weights = attention_weights(MODELS[name], variables, PICTURES, INPUTS)
    rows, columns = MODELS[name].grid
    assert (rows, columns) == (8 // MODELS[name].config.patch, 12 // MODELS[name].config.patch)
    assert weights.shape == (3, T, rows * columns)
    np.testing.assert_allclose(weights.sum(axis=-1), 1, atol=1e-6)


def test_places_go_line_by_line():
    """A picture of one white patch: its place alone differs from the others, which are alike."""
    grid = PictureGrid("patches", 4, 8)
    dark = jnp.zeros((1, *SHAPE), jnp.uint8)
    variables = grid.init(jax.random.key(0), dark)
    lit = grid.apply(variables, dark.at[0, 4:, 4:8].set(255))
    assert np.flatnonzero((lit != lit[:, :1]).any(axis=-1)[0]).tolist() == [1 * 3 + 1]


def test_patches_are_one_product():
    grid = PictureGrid("patches", 4, 8)
    variables = random_variables(grid.init, PICTURES)
    kernel, bias = variables["params"]["patches"]["kernel"], variables["params"]["patches"]["bias"]
    each = np.asarray(PICTURES, np.float64)
    each = (each - each.mean((1, 2, 3), keepdims=True)) / each.std((1, 2, 3), keepdims=True)
    cut = each.reshape(3, 2, 4, 3, 4).swapaxes(2, 3).reshape(3, 6, 16)
    assert_close(grid.apply(variables, PICTURES), cut @ np.asarray(kernel).reshape(16, 8) + np.asarray(bias))


@pytest.mark.parametrize("kind", ["cnn", "patches"])
def test_brightness_and_contrast_make_no_difference(kind):
    grid = PictureGrid(kind, 4, 8)
    dim = PICTURES // 4
    variables = random_variables(grid.init, dim)
    assert_close(grid.apply(variables, dim), grid.apply(variables, dim * 3 + 20))
    flat = jnp.full_like(dim, 200)
    assert_close(grid.apply(variables, flat), grid.apply(variables, flat * 0))


def test_dropout_draws_by_row():
    each = MODELS["patches-transformer"]
    variables = random_variables(each.init, *each.example_inputs())
    run = jit(lambda keys: each.apply(variables, PICTURES[:1].repeat(2, 0), INPUTS[:1].repeat(2, 0), dropout_keys=keys))
    first, second = run(jax.random.split(jax.random.key(0), 2))
    assert (first != second).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patch": 5}, "patch 5 is no power of two"),
        ({"patch": 5, "encoder": "patches"}, "patch 5 does not divide pictures of 8 x 12 pixels"),
        ({"arch": "transformer", "positions": "rotary"}, "positions 'rotary' compares places in two texts"),
        ({"positions": "learned"}, "the recurrent decoders have none"),
        ({"encoder": "cmn"}, "did you mean 'cnn'"),
    ],
)
def test_what_cannot_be_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model(**options).init, jax.random.key(0), PICTURES, INPUTS)


def test_other_pictures_and_masks_are_refused():
    each = MODELS["cnn-bahdanau"]
    with pytest.raises(ValueError, match=r"reads whole pictures of the shape .*pictures of the shape"):
        jax.eval_shape(each.init, jax.random.key(0), PICTURES[:, :4], INPUTS)
    with pytest.raises(ValueError, match="was given a mask"):
        each.init(jax.random.key(0), PICTURES, INPUTS, source_mask=jnp.ones(PICTURES.shape[:2], bool))
