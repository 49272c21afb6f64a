import dataclasses

import jax
import numpy as np
import pytest
from laws import jit

from nlpx.config import LanguageModelConfig
from nlpx.decode import Sampling
from nlpx.predict import Writer

LONGEST = 16
GREEDY, DARING = Sampling(0.0), Sampling(2.0)
SMALL = {"layers": 1, "width": 16, "heads": 2, "tied": False}
CONFIGS = {
    "lstm": LanguageModelConfig("lstm", **SMALL),
    "transformer-rotary": LanguageModelConfig("transformer", **SMALL, positions="rotary"),
    "transformer": LanguageModelConfig("transformer", **SMALL),
}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "transformer-rotary")) for name in CONFIGS]


@pytest.fixture(scope="module")
def models(untrained):
    """Those whose next letter depends on where it stands; others write one letter again and again."""
    made = {name: untrained(config, "char", scale=0.1, max_length=LONGEST) for name, config in CONFIGS.items()}
    position = made["transformer"].params["position"]
    position["table"] = 2 * jax.random.normal(jax.random.key(0), position["table"].shape)
    return made


@pytest.fixture(scope="module")
def daring(models):
    return Writer(models["transformer"], DARING)


@pytest.mark.thorough
def test_the_seed_decides_what_is_written(daring):
    (text,) = daring(["un "], tokens=12, seed=1)
    assert len(text) == 12
    assert daring(["un "], tokens=12, seed=1) == [text]
    assert daring(["un "], tokens=12, seed=2) != [text]


@pytest.mark.thorough
def test_samples_differ_but_greedy_ones(models, daring):
    texts = daring(3 * ["un "], tokens=12)
    assert len(set(texts)) == len(texts) == 3
    greedy = Writer(models["transformer"], GREEDY)(2 * ["un "], tokens=12)
    assert len(greedy) == 2
    assert len(set(greedy)) == 1


def test_a_min_p_of_one_leaves_the_likeliest_only(models):
    samplings = GREEDY, dataclasses.replace(DARING, min_p=1.0)
    greedy, narrow = (Writer(models["lstm"], sampling)(["un "], tokens=12) for sampling in samplings)
    assert narrow == greedy


@pytest.mark.thorough
@pytest.mark.parametrize("piece", [None, 3])
@pytest.mark.parametrize("prompt", ["un ", "un deux trois quatre cinq", "un deux trois qu"])
def test_beyond_the_learned_positions_it_goes_on_from_the_latter_half(models, prompt, piece):
    """Against the same written out with full re-computation: 16 positions, all read anew for each token."""
    trained = models["transformer"]
    read = jit(lambda tokens: trained.apply(tokens)[0])
    tokens = list(trained.tokenizer.encode(prompt))
    start = 0
    for _ in range(40):
        if len(tokens) - start >= LONGEST:
            start = len(tokens) - LONGEST // 2
        window = tokens[start:]
        padded = np.array([window + [0] * (LONGEST - len(window))], np.int32)
        tokens.append(int(np.argmax(read(padded)[0, len(window) - 1])))
    *_, (text,) = Writer(trained, GREEDY).stream([prompt], tokens=40, piece=piece)
    assert text == trained.tokenizer.decode(tokens)[len(prompt) :]
    assert len(set(text)) > 2


@pytest.mark.thorough(but=["lstm"])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_written_in_pieces_is_greedily_what_is_written_at_once(models, name):
    writer, tokens = Writer(models[name], GREEDY), 11
    (whole,) = writer(["un deux"], tokens=tokens)
    pieces = [text for (text,) in writer.stream(["un deux"], tokens=tokens, piece=4)]
    assert len(whole) == tokens
    assert len(set(whole)) > 2
    if name != "transformer":
        assert [len(text) for text in pieces] == [4, 8, 11]
    assert pieces[-1] == whole
    assert all(whole.startswith(text) for text in pieces)


def test_pieces_are_drawn_apart_and_the_seed_decides_them(models):
    """At this temperature all letters are about as probable: pieces of the same draws would be copies."""
    writer = Writer(models["lstm"], Sampling(1e4))
    *_, texts = writer.stream(2 * ["un"], tokens=24, piece=8)
    assert len({text[begin : begin + 8] for text in texts for begin in (0, 8, 16)}) == 6
    assert list(writer.stream(2 * ["un"], tokens=24, piece=8))[-1] == texts


@pytest.fixture(scope="module")
def of_words(untrained):
    """A model of words that left alone would write nothing but `<unk>`, and ends a line now and then."""
    trained = untrained(CONFIGS["lstm"], "word", scale=0.1)
    bias = trained.params["embedding"]["bias"]
    trained.params["embedding"]["bias"] = bias.at[0].set(1e4).at[1].set(3.0)
    return trained


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(2.0, top_k=18, top_p=0.99, min_p=1e-9)])
def test_what_stands_for_unknown_words_is_not_written(of_words, sampling):
    assert of_words.tokenizer.vocab_size == 18
    for text in Writer(of_words, sampling)(2 * ["un"], tokens=20):
        assert text
        assert "<unk>" not in text


def test_words_go_on_from_a_prompt_with_the_space_between_them(of_words):
    """Also at the end of a line, behind white space, and behind a word that it does not know."""
    writer, encode = Writer(of_words, Sampling(2.0)), of_words.tokenizer.encode
    joints = set()
    for seed, prompt in enumerate(3 * ["un deux", "un deux ", "un\tdeux\t", "un \n", "un\n ", "un 7"]):
        first, whole = [text for (text,) in writer.stream([prompt], tokens=6, piece=3, seed=seed)]
        assert whole.startswith(first)
        assert encode(prompt + whole)[:2].tolist() == encode(prompt).tolist()
        assert len(encode(prompt + whole)) == 8
        joints.add((prompt[-1].isspace(), "line end" if whole[0] == "\n" else whole[0] == " "))
    assert joints == {(True, False), (False, True), (True, "line end"), (False, "line end")}


class Counted:
    """A model that counts how often it is applied in Python, and so how often a program is made of it."""

    def __init__(self, model):
        self.model, self.applied = model, 0

    def __getattr__(self, name):
        return getattr(self.model, name)

    def apply(self, *arguments, **options):
        self.applied += 1
        return self.model.apply(*arguments, **options)


def test_called_again_it_compiles_nothing_anew(models):
    trained = models["lstm"]
    counted = Counted(trained.model)
    writer = Writer(dataclasses.replace(trained, model=counted), DARING)
    writer(["un deux"], tokens=6)
    once = counted.applied
    assert once > 0
    writer(["six dix"], tokens=6, seed=3)
    assert counted.applied == once


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        (["un"], {"tokens": 0}, "tokens must be at least 1, not 0"),
        ([], {}, "the number of prompts must be at least 1, not 0"),
        (["un", ""], {}, "the text to go on from is empty"),
        (["un 7"], {}, "'7' at position 3"),
    ],
)
def test_what_cannot_be_written_is_named(daring, prompts, options, message):
    with pytest.raises(ValueError, match=message):
        daring(prompts, **options)


def test_a_prompt_without_a_known_word_is_refused(of_words):
    with pytest.raises(
        ValueError, match=r"the model knows no word of 'Foo <unk>': give a text with words it was trained"
    ):
        Writer(of_words)(["Foo <unk>"])


PAIRS = [("lstm", GREEDY), ("transformer", DARING)]
PROMPTS = ["un deux trois", "un", "un deux trois qu", "deux cinq "]


@pytest.mark.thorough(but=["lstm*"])
@pytest.mark.parametrize(
    ("name", "sampling"),
    [
        pytest.param(name, sampling, marks=[pytest.mark.slow] * ((name, sampling) not in PAIRS))
        for name in CONFIGS
        for sampling in (GREEDY, DARING)
    ],
)
def test_prompts_of_any_lengths_together_are_continued_as_each_alone(models, name, sampling):
    """Also where rows use up their positions at different times. Samples: the first row's key is that of one alone."""
    writer = Writer(models[name], sampling)
    together = writer(PROMPTS, tokens=40)
    assert writer(PROMPTS[:1], tokens=40) == together[:1]
    for number, prompt in enumerate(PROMPTS[1:], 1):
        others = [PROMPTS[0]] * len(PROMPTS)
        others[number] = prompt
        assert writer(others, tokens=40)[number] == together[number]
    assert len(set(together)) > 2


@pytest.mark.thorough(but=["lstm"])
@pytest.mark.parametrize("name", ["lstm", "transformer"])
def test_samples_do_not_depend_on_the_pieces(models, name):
    writer = Writer(models[name], DARING)
    whole = writer(PROMPTS, tokens=24)
    for piece in (1, 7):
        assert list(writer.stream(PROMPTS, tokens=24, piece=piece))[-1] == whole


@pytest.mark.thorough
@pytest.mark.parametrize("piece", [None, 1, pytest.param(5, marks=pytest.mark.slow)])
def test_texts_end_at_the_end_token_or_a_stop_string_each_for_itself(models, piece):
    trained = models["transformer"]
    whole = Writer(trained, DARING)(PROMPTS, tokens=24)
    end, stop = whole[0][9], whole[1][11:13]
    (token,) = trained.tokenizer.encode(end)
    writer = Writer(trained, DARING, end=int(token), stops=[stop])
    *_, texts = parts = list(writer.stream(PROMPTS, tokens=24, piece=piece))
    assert texts == [text.partition(end)[0].partition(stop)[0] for text in whole]
    assert len({len(text) for text in texts}) > 1
    for part in parts:
        assert all(text.startswith(shown) for text, shown in zip(texts, part, strict=True))


@pytest.mark.thorough
def test_repetition_is_remembered_beyond_the_positions(models):
    """Tokens that the model no longer sees are still penalized: with so high a penalty each comes once, then again."""
    trained = models["transformer"]
    (text,) = Writer(trained, GREEDY, repetition_penalty=1e6)(["un"], tokens=trained.tokenizer.vocab_size - 2)
    positive = set(text[: LONGEST // 2])
    assert len(positive) == LONGEST // 2


@pytest.mark.thorough
def test_beams_of_prompts_together_are_those_of_each_alone(models):
    writer = Writer(models["lstm"], end=0)
    together = writer.search(PROMPTS, tokens=12, beams=3)
    assert together == [text for prompt in PROMPTS for text in writer.search([prompt], tokens=12, beams=3)]
    with pytest.raises(
        ValueError, match=r"a prompt of 16 tokens and 2 more are beyond the model's 16 positions: .* at most 1"
    ):
        Writer(models["transformer"]).search(["un deux trois qu"], tokens=2, beams=2)


def test_an_empty_prompt_begins_with_the_token_that_begins_a_text(models):
    trained = models["lstm"]
    begin = int(trained.tokenizer.encode("u")[0])
    assert Writer(trained, GREEDY, begin=begin)([""], tokens=9) == Writer(trained, GREEDY)(["u"], tokens=9)


def test_one_text_for_a_list_of_them_is_refused(daring):
    with pytest.raises(ValueError, match="prompts is one text: give a list of them"):
        daring("un")
