import functools

import jax
import numpy as np
import pytest
from laws import random_variables

from nlpx.config import EncoderDecoderConfig
from nlpx.text import SpelledWordTokenizer, WordTokenizer, WordVectors
from nlpx.train.vectors import coverage, coverage_line, with_vectors

VECTORS = WordVectors(np.array([2, 4], np.int32), np.array([[3, -4, 0, 0, 0], [0, 0, 5, 5, 0]], np.float32), ())


@functools.cache
def initial(**options):
    model = EncoderDecoderConfig(layers=1, **options).build(7)  # and two tokens of its own
    return random_variables(model.init, *model.example_inputs())["params"]


@pytest.mark.parametrize("tied", [True, False])
def test_the_rows_of_the_words_become_the_vectors_and_all_others_stay(tied):
    before = initial(width=4, tied=tied, embedding_width=5)
    after = jax.device_get(with_vectors(before, VECTORS))
    tables = {"embedding"} | (set() if tied else {"source_embedding"})
    for name in tables:
        old, new = before[name]["table"], after[name]["table"]
        size = np.sqrt(np.mean(new[VECTORS.ids] ** 2))
        assert size == pytest.approx(5**-0.5)  # that of a table's random rows
        np.testing.assert_allclose(new[VECTORS.ids] / size, VECTORS.rows / np.sqrt(np.mean(VECTORS.rows**2)), rtol=1e-6)
        others = np.setdiff1d(np.arange(9), VECTORS.ids)
        np.testing.assert_array_equal(new[others], old[others])
    without = [{name: {**each[name], "table": 0} for name in tables} for each in (after, before)]
    jax.tree.map(np.testing.assert_array_equal, {**after, **without[0]}, {**before, **without[1]})


def test_vectors_of_zeros_stay_zeros():
    zeros = WordVectors(VECTORS.ids, 0 * VECTORS.rows, ())
    table = with_vectors(initial(width=5), zeros)["embedding"]["table"]
    np.testing.assert_array_equal(table[VECTORS.ids], 0)


@pytest.mark.parametrize(
    "tokenizer", [WordTokenizer(["a", "b", "c"]), SpelledWordTokenizer(["b", "a", "d", "c"], "abcd")]
)
def test_words_with_a_vector_are_counted_in_the_vocabulary_and_in_the_text(tokenizer):
    # Of ten words four are a, one is c, and one is unknown; the line ends are no words.
    counts = coverage(VECTORS, tokenizer, "a b a b\na b a e\n\nb c")
    assert [tokenizer.words[i] for i in VECTORS.ids] == ["a", "c"]
    of = {"word": 3, "spelled": 4}[tokenizer.kind]
    assert counts == {"words": 2, "of": of, "of_running_words": 0.5, "width": 5, "sha256": VECTORS.sha256}


def test_the_unknown_word_does_not_count_though_it_has_a_vector():
    vectors = WordVectors(np.array([0, 2], np.int32), VECTORS.rows, ())
    counts = coverage(vectors, WordTokenizer(["a", "b"]), "a b c c")
    assert (counts["words"], counts["of"], counts["of_running_words"]) == (1, 2, 0.25)


def test_the_line_that_is_printed():
    counts = {"words": 6100, "of": 8000, "of_running_words": 0.912, "width": 300}
    assert coverage_line(counts) == "vectors: 6,100 of 8,000 words (76 %; 91 % of the running words), 300 features"
