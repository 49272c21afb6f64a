import dataclasses
import itertools

import numpy as np
import pytest
from laws import jit

from nlpx.config import ClassifierConfig, ReaderConfig
from nlpx.data import Question
from nlpx.predict import Answerer, parse_question
from nlpx.predict.answers import Answered

pytestmark = pytest.mark.thorough

SMALL = {"layers": 1, "width": 8, "heads": 2}
SETTINGS = {"max_length": 18, "question_length": 8, "stride": None, "lowercase": True}
CONTEXTS = [
    "un deux, trois quatre",
    "six",
    "huit neuf (dix onze) douze",
    "quatorze quinze seize un deux trois quatre cinq",
]
QUESTIONS = [Question(context, "Deux trois", (), "", "") for context in CONTEXTS]


def make(untrained, config=None, **settings):
    trained = untrained(config or ReaderConfig("gru", **SMALL), "bpe", scale=2.0)
    return dataclasses.replace(trained, config={"data": {**SETTINGS, **settings}})


@pytest.fixture(scope="module")
def trained(untrained):
    return make(untrained)


@pytest.mark.parametrize("longest", [1, 3])
def test_the_likeliest_span_of_words_over_all_windows(trained, longest):
    """Of many lengths, in batches smaller than their number; against each window alone, every span tried."""
    answerer, read = Answerer(trained, longest=longest, batch_size=3), jit(trained.model.apply)
    answers = answerer.answer(QUESTIONS)
    windows_seen = 0
    for question, found in zip(QUESTIONS, answers, strict=True):
        passages = answerer.encode([question])
        tried = {}
        for row, words in enumerate(passages.words):
            windows_seen += 1
            columns = {name: column[row] for name, column in passages.columns.items()}
            logits = read({"params": trained.params}, columns["text"][None], columns["segment"][None])
            p = []
            for each, allowed in zip(logits, (columns["begins"], columns["ends"]), strict=True):
                each = np.where(allowed, np.exp(np.asarray(each[0], np.float64)), 0)
                p.append(each / each.sum())
            for first, last in itertools.product(range(len(words)), repeat=2):
                if words[first] >= 0 and 0 <= words[last] - words[first] < longest:
                    span = words[first], words[last]
                    tried[span] = max(tried.get(span, 0), p[0][first] * p[1][last])
        best = max(tried, key=tried.get)
        spans = passages.spans[0]
        begin, end = spans[best[0]][0], spans[best[1]][1]
        assert (found.text, found.start) == (question.context[begin:end], begin)
        assert found.probability == pytest.approx(tried[best], rel=1e-4)
    assert windows_seen > len(QUESTIONS)
    assert max(len(found.text.split()) for found in answers) <= longest


def test_an_answer_is_marked_where_it_stands():
    assert Answered("deux", 3, 0.5).mark("un deux trois") == "un [[deux]] trois"


def test_lines_of_context_and_question(trained):
    answerer = Answerer(trained, batch_size=3)
    (one, context), (same, _) = answerer(["Un deux ||| Deux", "Un deux\tDeux"])
    assert one == same
    assert context == "Un deux"
    assert context[one.start :].startswith(one.text)  # as it stands there, whatever the case that is read
    assert parse_question("a | b ||| c ||| d")[:2] == ("a | b", "c ||| d")


def test_where_the_answer_may_be_is_drawn(trained, tmp_path):
    Answerer(trained, batch_size=3).draw(QUESTIONS[2], tmp_path / "places.png")
    assert (tmp_path / "places.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("line", ["no question", "context |||", "||| question", "\tquestion"])
def test_a_line_without_both_is_named(line):
    with pytest.raises(ValueError, match=r"no context and question in .*: write CONTEXT \|\|\| QUESTION, or a tab"):
        parse_question(line)


def test_a_model_of_another_kind_is_named(untrained):
    other = untrained(ClassifierConfig("gru", **SMALL), "char", labels=("a", "b"))
    with pytest.raises(ValueError, match="a Classifier answers no questions"):
        Answerer(other)
