import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from nlpx.config import ClassifierConfig, FeedForwardConfig, LanguageModelConfig, ReaderConfig
from nlpx.errors import InputError
from nlpx.text import CharTokenizer
from nlpx.train.start import Start

SIZE = {"arch": "transformer", "layers": 2, "width": 8, "heads": 2, "positions": "learned"}
TOKENIZER = CharTokenizer("abc")


@functools.cache
def params_of(model, seed=0):
    """Random ones: a program that draws those of a beginning takes seconds to compile."""
    shapes = jax.eval_shape(model.init, jax.random.key(0), *model.example_inputs())["params"]
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), shapes)


def start_of(config, seed=0, **sizes):
    model = config.build(3, **sizes)
    params = flatten_dict(params_of(model, seed), sep="/")
    return Start("there", model, TOKENIZER, lambda: (params, [])), params


LANGUAGE_MODEL = LanguageModelConfig(**SIZE)


def test_what_both_have_is_taken_and_the_head_begins_anew():
    start, there = start_of(LANGUAGE_MODEL, max_length=6)
    model = ClassifierConfig(**SIZE, dropout=0.5).build(3, labels="xy", max_length=4)
    before, parts = params_of(model, seed=1), start.parts(model)
    after = flatten_dict(jax.device_get(parts.fill(before)), sep="/")
    before = flatten_dict(jax.device_get(before), sep="/")
    assert parts.anew == ["head/bias", "head/kernel"]
    assert parts.unused == ["embedding/bias"]
    for path, leaf in after.items():
        np.testing.assert_array_equal(leaf, (before if path.startswith("head") else there)[path][: len(leaf)], path)
    assert parts.lines().splitlines()[1:] == ["begins anew: head/bias, head/kernel", "unused: embedding/bias"]


def test_rows_that_only_the_new_model_has_begin_anew():
    start, there = start_of(LANGUAGE_MODEL, max_length=6)
    model = ReaderConfig(**SIZE).build(3, max_length=9)  # a separator, three segments, and more positions
    before, parts = params_of(model, seed=1), start.parts(model)
    after = jax.device_get(parts.fill(before))
    assert {"embedding/table from row 3 on", "position/table from row 6 on"} < set(parts.anew)
    for path, rows in (("embedding", 3), ("position", 6)):
        np.testing.assert_array_equal(after[path]["table"][:rows], there[f"{path}/table"])
        np.testing.assert_array_equal(after[path]["table"][rows:], before[path]["table"][rows:])


@pytest.mark.parametrize(("labels", "taken"), [("xy", True), ("yx", False), ("xyz", False)])
def test_a_head_is_taken_if_the_labels_are_the_same(labels, taken):
    config = ClassifierConfig(**SIZE)
    start, _ = start_of(config, labels="xy", max_length=6)
    assert ("head/kernel" in start.parts(config.build(3, labels=labels, max_length=6)).taken) == taken


def test_the_settings_of_the_layers_are_those_there_and_dropout_is_free():
    start, _ = start_of(LanguageModelConfig("gru", layers=3, width=8, dropout=0.3, embedding_width=5))
    settings = start.settings(ClassifierConfig)
    assert settings.items() >= {"arch": "gru", "layers": 3, "width": 8, "embedding_width": 5}.items()
    assert settings["bidirectional"] is False  # a language model reads forwards
    assert not settings.keys() & {"dropout", "dtype", "tied"}
    start.check(ClassifierConfig(**settings, dropout=0.5))
    with pytest.raises(InputError, match="bidirectional True is not that of there, False: leave bidirectional out"):
        start.check(ClassifierConfig(**{**settings, "bidirectional": True}))


def test_a_transformer_has_the_features_of_a_language_model_unless_told_to_see_more():
    start, params = start_of(LANGUAGE_MODEL, max_length=6)
    tokens = jnp.array([[0, 2, 1, 1]])

    @functools.partial(jax.jit, static_argnums=0)
    def read(model, params):
        return model.apply({"params": params}, tokens, capture_intermediates=lambda m, _: m.name == "backbone")

    def features(model, params):
        kept = read(model, params)[1]
        return kept["intermediates"]["backbone"]["__call__"][0][0]

    wanted, found = features(start.model, unflatten_dict(params, sep="/")), []
    for more in ({}, {"bidirectional": True}):
        config = ClassifierConfig(**{**start.settings(ClassifierConfig), **more})
        start.check(config)
        model = config.build(3, labels="xy", max_length=6)
        found.append(features(model, start.parts(model).fill(params_of(model, seed=1))))
    np.testing.assert_array_equal(found[0], wanted)
    assert (found[1][:, :-1] != wanted[:, :-1]).any(axis=-1).all()


def test_the_pooling_of_a_bert_is_of_a_token_that_no_text_begins_with():
    start, _ = start_of(ClassifierConfig(**SIZE, pooling="first"), labels="xy")
    assert start.settings(ClassifierConfig)["pooling"] == "first"
    assert dataclasses.replace(start, ours=False).settings(ClassifierConfig)["pooling"] == "mean"


def test_segments_are_told_apart_as_there():
    start, _ = start_of(ReaderConfig(**SIZE), segment_kinds=2)
    assert start.sizes({"labels": "xy"}, ClassifierConfig) == {"labels": "xy", "segment_kinds": 2}
    assert start.sizes({}, LanguageModelConfig) == start.sizes({}, ReaderConfig) == {}  # none, and three of its own
    assert start_of(LANGUAGE_MODEL)[0].sizes({"labels": "xy"}, ClassifierConfig) == {"labels": "xy"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 12}, "width 12 is not that of there, 8: leave width out"),
        ({"layers": 1}, "layers 1 is not that of there, 2"),
        ({"norm": "post"}, "norm 'post' is not that of there, 'pre'"),
        ({"arch": "lstm"}, "arch 'lstm' is not that of there, 'transformer'"),
    ],
)
def test_other_layers_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        start_of(LANGUAGE_MODEL)[0].check(ClassifierConfig(**{**SIZE, **changes}))


def test_another_kind_of_tokenizer_is_refused():
    with pytest.raises(InputError, match="tokenizer 'bpe' is not that of there, 'char'"):
        start_of(LANGUAGE_MODEL)[0].check_tokenizer("bpe")


def test_a_model_with_nothing_in_common_is_refused():
    network = FeedForwardConfig(width=4).build(
        ["f"], labels="xy", target="y", scales={"center": [0.0], "spread": [1.0]}
    )
    with pytest.raises(InputError, match="has no parameter of this model"):
        Start("there", network, None, lambda: ({"other": jnp.zeros(3)}, [])).parts(network)
