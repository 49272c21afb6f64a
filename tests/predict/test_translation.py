import functools

import numpy as np
import pytest
from laws import jit

from nlpx import metrics, predict
from nlpx.config import EncoderDecoderConfig
from nlpx.models import attention_weights
from nlpx.predict import Translator, check_beams

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
LONGEST, ROOM = 20, 48
SMALL = {"layers": 1, "width": 16, "heads": 2, "tied": False}
MODELS = {  # config, tokenizer, and what makes the end token come early, late or never
    "elman": (EncoderDecoderConfig("elman", attention="none", reverse_source=True, **SMALL), "word", 0.25),
    "lstm-bahdanau": (EncoderDecoderConfig("lstm", attention="bahdanau", **SMALL), "char", 1.0),
    "transformer": (EncoderDecoderConfig("transformer", **SMALL), "bpe", 1.75),
}
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name == "lstm-bahdanau")) for name in MODELS]
SENTENCES = ["un deux", "neuf neuf trois", "six", "onze douze dix"]


@pytest.fixture(scope="module")
def models(untrained):
    @functools.cache
    def make(name, **changes):
        config, tokenizer, end = MODELS[name]
        made = untrained(config, changes.pop("tokenizer", tokenizer), scale=0.2, max_length=LONGEST, **changes)
        bias = made.params["embedding"]["bias"]
        made.params["embedding"]["bias"] = bias.at[made.model.eos].add(end)
        return made

    return make


@pytest.mark.parametrize("name", NAMES)
def test_translations_are_the_models_best(models, name):
    """Greedily: each token is the most probable one after those before, in one un-cached pass; never `<unk>`."""
    trained = models(name)
    model, translator = trained.model, Translator(trained, beams=1, length_penalty=0.0)
    sources = [translator.encode(sentence) for sentence in SENTENCES]
    run = jit(lambda source, read, source_mask, mask: trained.apply(source, read, source_mask=source_mask, mask=mask))
    ends = []
    for source, found in zip(sources, translator.translate(sources), strict=True):
        ends.append(len(found.tokens) not in (translator.limit(8), translator.limit(16)))
        expected = np.append(found.tokens, model.eos) if ends[-1] else found.tokens
        given, mask = np.zeros((2, 1, ROOM), np.int32), np.zeros((2, 1, ROOM), bool)
        for row, tokens in enumerate(([*source, model.eos], [model.bos, *expected[:-1]])):
            given[row, 0, : len(tokens)], mask[row, 0, : len(tokens)] = tokens, True
        logits = np.asarray(run(*given, *mask)[0], np.float64)
        logits = logits[: len(expected)]
        logits[:, list(trained.tokenizer.unspellable)] = -np.inf
        np.testing.assert_array_equal(logits.argmax(axis=-1), expected)
        log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
        assert found.score == pytest.approx(log_p.max(axis=-1).sum(), rel=1e-4)
        assert found.text.split() == trained.tokenizer.decode(found.tokens[found.tokens < model.bos]).split()
    assert len(set(ends)) == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_sentence_beside_others_is_translated_as_alone(models, name):
    """In batches smaller than their number, padded to other lengths; none is longer than the beams let it be."""
    translator = Translator(models(name), beams=2, length_penalty=0.6, batch_size=3)
    for sentence, found in zip(SENTENCES, translator(SENTENCES), strict=True):
        (alone,) = translator([sentence])
        np.testing.assert_array_equal(found.tokens, alone.tokens)
        assert found.text == alone.text
        assert found.score == pytest.approx(alone.score, abs=2e-5)


def test_more_beams_find_what_is_no_less_probable(models):
    greedy, wide = (Translator(models("elman"), beams=beams, length_penalty=0.0)(SENTENCES) for beams in (1, 20))
    gains = [b.score - a.score for a, b in zip(greedy, wide, strict=True)]
    assert min(gains) > -1e-4
    assert max(gains) > 1e-2


@pytest.mark.parametrize(
    ("tokenizer", "source", "target"),
    [  # words, and how many tokens each is
        ("char", {"un": 2, "deux": 5}, {"six": 3, "␣": 1, "dix": 4}),
        ("word", {"un": 1, "<unk>": 1, "deux": 1}, {"six": 1, "dix": 1}),
        ("bpe", {"un": 2, "deux": 3}, {"quatre": 4, "xyz": 4, "dix": 2}),
    ],
)
def test_attention_between_words_is_what_their_tokens_have(models, tokenizer, source, target):
    """Of a source word the sum, of a target word the mean."""
    trained = models("transformer", tokenizer=tokenizer)
    model = trained.model
    tokens = [trained.tokenizer.encode(" ".join(words).replace("␣", "")) for words in (source, target)]
    weights, *words = Translator(trained).attention(*tokens)
    assert words == [[*source, "</s>"], [*target, "</s>"]]

    of_source = np.append(tokens[0], model.eos)[None].astype(np.int32)
    read = np.append(model.bos, tokens[1])[None].astype(np.int32)
    between = np.asarray(attention_weights(model, {"params": trained.params}, of_source, read))[0]
    begins, counts = zip(*((np.cumsum([0, *of.values()]), [*of.values(), 1]) for of in (source, target)), strict=True)
    summed = np.add.reduceat(np.add.reduceat(between, begins[0], axis=1), begins[1], axis=0)
    np.testing.assert_allclose(weights, summed / np.array(counts[1])[:, None], rtol=1e-5)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)


def test_weights_of_a_model_without_attention_are_refused(models):
    translator = Translator(models("elman"))
    assert not translator.attends
    with pytest.raises(ValueError, match="attention='none' has no weights"):
        translator.attention(np.array([2, 3]), np.array([4]))


@pytest.mark.parametrize("name", ["elman", "transformer"])
def test_pairs_no_training_has_seen_are_translated_and_compared(models, name, tmp_path):
    translator = Translator(models(name, tokenizer="char"), beams=2)
    sources = [translator.encode(sentence) for sentence in SENTENCES]
    found = [each.text for each in translator.translate(sources)]
    references = ["two", found[1], "six", found[3]]
    pairs = list(zip(SENTENCES, references, strict=True))
    test = predict.test_translations(translator, pairs, tmp_path)

    header, *lines = (tmp_path / "translations.tsv").read_text(encoding="utf-8").splitlines()
    assert header.split("\t") == ["source", "reference", "translation", "score"]
    table = [tuple(line.split("\t")) for line in lines]
    assert [row[:3] for row in table] == [(*pair, text) for pair, text in zip(pairs, found, strict=True)]
    scores = [each.score for each in translator.translate(sources)]
    assert [float(row[3]) for row in table] == pytest.approx(scores, abs=1e-4)

    assert test.items() >= metrics.translation_metrics(found, references).items()
    assert test["exact_match"] == 0.5
    assert test.items() >= {"count": 4, "beams": 2, "length_penalty": 0.6}.items()
    assert test["seconds"] > 0
    assert sum(group["count"] for group in test["by_length"]) == 4
    pictures = [path.read_bytes().startswith(PNG) for path in tmp_path.glob("plots/attention_*_words.png")]
    assert all(pictures)
    assert bool(pictures) == (name != "elman")


def test_the_attention_of_a_sentence_can_be_drawn(models, tmp_path):
    Translator(models("transformer", tokenizer="char")).draw("un deux", tmp_path / "new" / "map.png")
    assert (tmp_path / "new" / "map.png").read_bytes().startswith(PNG)


def test_a_model_of_lower_case_reads_in_lower_case(models):
    lower, cased = (Translator(models("elman", lowercase=lowercase)) for lowercase in (True, False))
    assert lower.encode("UN Deux").tolist() == cased.encode("un deux").tolist()
    assert lower.encode("UN Deux").tolist() != cased.encode("UN deux").tolist()


@pytest.mark.parametrize(
    ("name", "sentence", "message"),
    [
        ("elman", "zzz yyy", "no word of 'zzz yyy' is in the vocabulary"),
        ("elman", "  ", "nothing to translate"),
        ("lstm-bahdanau", "", "nothing to translate"),
        ("transformer", "z" * LONGEST, f"has {LONGEST} tokens, the model's positions end at {LONGEST}"),
    ],
)
def test_what_cannot_be_translated_is_named(models, name, sentence, message):
    with pytest.raises(ValueError, match=message):
        Translator(models(name))([sentence])


@pytest.mark.parametrize("beams", [0, -1, 21])
def test_beams_are_as_many_as_the_vocabulary_has_tokens_at_most(models, beams):
    message = f"beams must be from 1 to the 20 tokens of the vocabulary, not {beams}"
    check_beams(20, models("elman").model)
    for refuse in (lambda: check_beams(beams, models("elman").model), lambda: Translator(models("elman"), beams=beams)):
        with pytest.raises(ValueError, match=message):
            refuse()


@pytest.fixture(scope="module")
def copier(untrained):
    """A model that only copies."""
    config = EncoderDecoderConfig("gru", attention="bahdanau", copy=True, **SMALL)
    made = untrained(config, "word", scale=0.2, max_length=LONGEST)
    made.params["copy_gate"]["bias"] = made.params["copy_gate"]["bias"] - 60
    return made


def test_words_that_the_vocabulary_lacks_are_copied(copier):
    sentences = ["zzz yyy", "un zzz", "yyy xxx www zzz deux"]
    translator = Translator(copier, beams=2)
    for sentence, found in zip(sentences, translator(sentences), strict=True):
        (alone,) = translator([sentence])
        assert alone.text == found.text
        assert set(found.text.split()) <= set(sentence.split())
    assert {"zzz", "yyy"} & set(translator(["zzz yyy"])[0].text.split())


def test_attention_names_the_words_that_the_vocabulary_lacks(copier, tmp_path):
    translator = Translator(copier)
    encoded = translator.encode_all(["un zzz yyy"])
    (source,), (beyond,) = encoded.columns["source"], encoded.beyond
    _, sources, targets = translator.attention(source, source[1:], beyond)
    assert (sources, targets) == (["un", "zzz", "yyy", "</s>"], ["zzz", "yyy", "</s>"])
    translator.draw("un zzz yyy", tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(PNG)


def test_long_texts_are_cut_where_they_were_in_training(models, capsys):
    translator = Translator(models("transformer", tokenizer="word"), cut=2, most=3)
    words = ["un", "deux", "trois", "quatre"]
    long, short = translator([" ".join(words), " ".join(words[:2])])
    assert long.text == short.text
    assert "read its first 2 tokens only: 'un deux trois quatre'" in capsys.readouterr().err
    assert translator.limit(16) == 3
    assert translator.encode_all([" ".join(words)]).dropped == {"cut to 2 tokens": 1}
