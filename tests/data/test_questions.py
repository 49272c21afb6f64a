import json

import numpy as np
import pytest

from nlpx.data import load_questions, questions, read_questions
from nlpx.data.facts import Asked
from nlpx.errors import InputError


@pytest.fixture
def write(tmp_path):
    """A file of so many articles of two paragraphs of three questions each; returns its SPEC."""

    def written(name, articles, paragraphs=2):
        data = [
            {
                "title": f"{article}",
                "paragraphs": [
                    {
                        "context": f"{article} {number} Lima",
                        "qas": [{"id": "i", "question": f"Q {n}?", "answers": [{"text": "Lima"}]} for n in range(3)],
                    }
                    for number in range(paragraphs)
                ],
            }
            for article in articles
        ]
        (tmp_path / name).write_text(json.dumps({"data": data}))
        return f"file:{tmp_path / name}"

    return written


def contexts(part):
    return {each.context for each in part}


def test_whole_articles_are_held_out_the_same_ones_each_time(write):
    found = load_questions(write("a.json", range(40)))
    groups = [{each.group for each in part} for part in (found.train, found.validation, found.test)]
    assert [len(each) for each in groups] == [32, 4, 4]
    assert set.union(*groups) == {str(article) for article in range(40)}
    assert load_questions(write("a.json", range(40)), seed=5) == found
    # With others beside them, too: a hash decides.
    more = load_questions(write("b.json", range(44)))
    assert len({each.group for each in more.test} & groups[2]) >= 3


def test_one_article_is_held_out_by_contexts(write):
    found = load_questions(write("a.json", ["Peru"], paragraphs=20))
    parts = [contexts(part) for part in (found.train, found.validation, found.test)]
    assert [len(each) for each in parts] == [16, 2, 2]


def test_files_of_their_own_come_first_and_their_contexts_leave_training(write):
    spec = write("a.json", range(10))
    test = write("test.json", [3, 77])
    found = load_questions(spec, test=test, valid=test)
    assert contexts(found.test) == {"3 0 Lima", "3 1 Lima", "77 0 Lima", "77 1 Lima"}
    assert not contexts(found.test) & contexts(found.train)
    assert found.dropped == {"in test": 6}
    assert len(found.train) == 54
    assert found.name == f"{spec}, validation {test}, test {test}"
    assert read_questions(test) == (found.test, {})
    assert found.sha256 != load_questions(spec).sha256


def test_texts_for_a_tokenizer_have_spaces_between_words_and_marks(write):
    found = load_questions(write("a.json", range(10)))
    assert set(found.joined("test", lowercase=True).splitlines()) == {
        *(f"{each.group} {number} lima" for each in found.test for number in range(2)),
        *(f"q {n} ?" for n in range(3)),
    }


def test_a_set_with_its_own_splits(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    class Asked(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        name = "nlpx_asked"

        def _info(self):
            text = tfds.features.Text()
            answers = tfds.features.Sequence({"text": text, "answer_start": np.int32})
            features = {"context": text, "question": text, "answers": answers, "id": text}
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {
                "train": self._generate_examples("train", 30),
                "validation": self._generate_examples("validation", 2),
            }

        def _generate_examples(self, part, count):
            for i in range(count):
                answers = {"text": ["Žlíma"] if i else ["Quito"], "answer_start": [7]}
                yield i, {"context": f"{part} {i} Žlíma", "question": "Q?", "answers": answers, "id": f"{i}"}

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    Asked(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    found = load_questions("tfds:nlpx_asked")
    assert found.dropped == {"answer not in its context": 2}
    assert found.validation == [("validation 1 Žlíma", "Q?", (("Žlíma", 13),), "validation 1 Žlíma", "1")]
    assert (len(found.train), len(found.test)) == (26, 3)


def test_the_built_in_questions(monkeypatch):
    one = Asked("Lima is in Peru.", "Where is Lima?", "Peru", 11, "Lima")
    monkeypatch.setattr(
        questions.facts, "make", lambda seed: ([one], [one._replace(context="In Peru.", start=3)], [one])
    )
    with pytest.raises(InputError, match="cldr-facts leaves no question for training"):
        load_questions("cldr-facts")  # a context in two parts
    monkeypatch.setattr(
        questions.facts, "make", lambda seed: [[one._replace(context=f"Peru {n}", start=0)] for n in range(3)]
    )
    found = load_questions("cldr-facts", seed=3)
    assert found.train[0][:3] == ("Peru 0", "Where is Lima?", (("Peru", 0),))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cldr-fact", r"unknown source of questions 'cldr-fact'; did you mean 'cldr-facts'"),
        ("cldr-facts:fr", "cldr-facts takes no argument"),
        ("file:nowhere.json", "cannot read nowhere.json"),
    ],
)
def test_what_cannot_be_had_is_named(spec, message):
    with pytest.raises(InputError, match=message):
        load_questions(spec)


def test_other_parts_are_files(write):
    spec = write("a.json", range(10))
    with pytest.raises(InputError, match="the test questions cldr-facts are no file"):
        load_questions(spec, test="cldr-facts")
    with pytest.raises(InputError, match="a context is in one part alone"):
        load_questions(write("b.json", [1], paragraphs=1))
