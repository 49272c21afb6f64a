import collections
import functools
import gzip

import numpy as np
import pytest

from nlpx.data import languages, load_documents, load_labelled, thinned
from nlpx.errors import InputError


@pytest.fixture
def table(tmp_path):
    """Writes examples as a table; returns the SPEC."""

    def written(examples, name="some"):
        path = tmp_path / f"{name}.tsv"
        path.write_text("".join(f"{text}\t{label}\n" for text, label in examples), encoding="utf-8")
        return f"file:{path}"

    return written


def numbered(first, last, labels=("even", "odd")):
    return [(f"sentence {i}", labels[i % len(labels)]) for i in range(first, last)]


def refuse(message, spec, **options):
    with pytest.raises(InputError, match=message) as error:
        load_labelled(spec, **options)
    assert "\n" not in str(error.value)


def test_parts_are_held_out(table):
    examples = numbered(0, 100)
    data = load_labelled(table(examples))
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 5, 5)
    assert sorted(data.train + data.validation + data.test) == sorted(examples)
    assert data.train == [example for example in examples if example in data.train]  # in the order of the file
    assert data.labels == ("even", "odd")
    assert data.dropped == {}
    assert data.name == table(examples)
    assert load_labelled(table(examples), seed=5) == data
    # By the text alone: in another order, beside a few others and with other labels the same are held out.
    again = load_labelled(table([*reversed(numbered(0, 100, ("b", "a", "c"))), *numbered(100, 104)]))
    texts = [{text for text, _ in each.test + each.validation} for each in (data, again)]
    assert len(texts[0] & texts[1]) >= 8


def test_at_most_2000_are_held_out(table):
    data = load_labelled(table(numbered(0, 45_000)))
    assert (len(data.train), len(data.validation), len(data.test)) == (41_000, 2000, 2000)


def test_no_held_out_text_trains(table):
    # Each text four times, once with another label than the others.
    examples = [(f"sentence {i}", label) for i in range(60) for label in ("a", "b", "a", "a")]
    data = load_labelled(table(examples))
    held_out = data.test + data.validation
    assert len(held_out) == 6 + 6  # of 120 distinct examples
    assert len(set(held_out)) == len(held_out)
    for one, other in (("test", "train"), ("validation", "train"), ("test", "validation")):
        assert not {text for text, _ in getattr(data, one)} & {text for text, _ in getattr(data, other)}
    assert set(data.dropped) == {"in test", "in validation"}
    assert len(data.train) + len(held_out) + sum(data.dropped.values()) == len(examples)


def test_the_last_text_of_a_label_stays_in_training(table):
    examples = [(f"sentence {i}", f"label {i % 50}") for i in range(60)]
    data = load_labelled(table(examples))
    assert (len(data.validation), len(data.test)) == (3, 3)
    assert len(data.labels) == 50
    assert {label for _, label in data.train} == set(data.labels)
    assert list(data.labels) == sorted(data.labels)


def test_given_parts(table):
    train, validation, test = numbered(0, 50), numbered(48, 55), numbered(45, 46) + numbered(60, 63)
    options = {"valid": table(validation, "valid"), "test": table(test, "test")}
    data = load_labelled(table(train), **options)
    assert data.validation == validation
    assert data.test == test
    assert data.train == [example for example in train if example not in validation + test]
    assert data.dropped == {"in test": 1, "in validation": 2}
    assert data.name == f"{table(train)}, validation {options['valid']}, test {options['test']}"


@pytest.mark.parametrize(("given", "other"), [("valid", "test"), ("test", "validation")])
def test_what_is_held_out_is_not_in_a_given_part(table, given, other):
    train = numbered(0, 40)
    data = load_labelled(table(train), **{given: table(train[:36], "given")})
    assert len(getattr(data, other)) == 2
    assert sorted(getattr(data, other) + data.train) == sorted(train[36:])


def test_given_parts_may_have_a_form_of_their_own(table, tmp_path):
    path = tmp_path / "test.csv.gz"
    path.write_bytes(gzip.compress(b'id,kind,what\n1,odd,"one, two"\n'))
    data = load_labelled(table(numbered(0, 50)), test=f"file:{path}:what,kind")
    assert data.test == [("one, two", "odd")]


def test_digest_tells_data_apart(table):
    sets = [numbered(0, 9), numbered(0, 10), numbered(0, 9, ("odd", "even"))]
    assert len({load_labelled(table(examples)).sha256 for examples in sets}) == 3
    assert load_labelled(table(sets[0])).sha256 == load_labelled(table(sets[0])).sha256


def test_white_space_and_case(table):
    odd = [("Ça\u202fva\u00a0?", " Even  more\u00a0so "), ("l\u2028igne", "Even more so"), ("  Li\x85ne\r", "odd")]
    examples = [*numbered(0, 8), *odd]
    data = load_labelled(table(examples), lowercase=True)
    found = sorted(data.train + data.validation + data.test)
    wanted = [("ça va ?", "Even more so"), ("l igne", "Even more so"), ("li ne", "odd")]
    assert found == sorted([*numbered(0, 8), *wanted])
    upper = load_labelled(table(examples))
    assert ("Ça va ?", "Even more so") in upper.train + upper.validation + upper.test


def test_lower_case_makes_texts_the_same(table):
    train = [*numbered(0, 20), ("Sentence 30", "even")]
    options = {"valid": table(numbered(30, 31), "valid"), "test": table(numbered(40, 41), "test")}
    assert load_labelled(table(train), **options).dropped == {}
    assert load_labelled(table(train), **options, lowercase=True).dropped == {"in validation": 1}


def test_refusals(table, tmp_path):
    spec = table(numbered(0, 9))
    refuse("the label 'x' occurs in test but not in training", spec, test=table([("a", "x"), ("b", "odd")], "test"))
    refuse("the label 'x' occurs in validation but not", spec, valid=table([("a", "x")], "valid"))
    # A label all of whose training texts are in validation.
    few = table([*numbered(0, 9), ("a", "x"), ("a", "x")])
    refuse("the label 'x' occurs in validation but not", few, valid=table([("a", "x")], "valid"))
    refuse("has only one label, 'odd'; classification needs two", table(numbered(0, 9, ("odd",))))
    refuse("leaves no example for training", spec, valid=spec)
    refuse("leaves no example for training", spec, valid=table(numbered(0, 5), "valid"), test=spec)
    # Text and label the wrong way round.
    refuse("leaves no example for test: no label has a second text; .*columns", f"{spec}:2,1")
    refuse("leaves no example for test", table(numbered(0, 2)))
    refuse("leaves no example for validation", table(numbered(0, 3)))
    refuse(r"some.tsv, line 2: the text is empty", table([("a", "x"), (" ", "x")]))
    refuse("is a folder; name the file", f"file:{tmp_path}")
    refuse("cannot read .*none: No such file", table(numbered(0, 9)), test=f"file:{tmp_path}/none")


def test_unknown_sources(table):
    refuse(r"unknown source of labelled texts 'cldr-language'; did you mean 'cldr-languages'\?", "cldr-language")
    refuse("cpython-modules takes no argument, so leave out ':2'", "cpython-modules:2")
    refuse("cldr-languages takes no argument, but cldr-languages:fr gives 'fr'", "cldr-languages:fr")
    refuse("the validation texts cldr-languages are no file; write", table(numbered(0, 9)), valid="cldr-languages")
    refuse("the test texts tfds:a are no file; write", table(numbered(0, 9)), test="tfds:a")


@pytest.mark.thorough
def test_built_in_texts(monkeypatch):
    pytest.importorskip("babel")
    monkeypatch.setattr(languages, "make", functools.partial(languages.make, train=50, validation=5, test=10))
    data = load_labelled("cldr-languages", lowercase=True, seed=1)
    assert (len(data.train), len(data.validation), len(data.test)) == (1000, 100, 200)
    assert data.labels == languages.LANGUAGES
    assert set(collections.Counter(label for _, label in data.train).values()) == {50}
    assert list(data.dropped) == ["in two languages"]  # in lower case none is there twice either
    assert all(text == text.lower() for text, _ in data.train)
    assert load_labelled("cldr-languages", lowercase=True, seed=2).sha256 != data.sha256


class TestTFDS:
    @pytest.fixture
    def prepare(self, tmp_path, monkeypatch):
        """Prepares a set with the given splits (text, number of the class or -1) where TFDS looks; returns its SPEC."""
        tfds = pytest.importorskip("tensorflow_datasets")
        monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
        text, number = tfds.features.Text(), tfds.features.Scalar(np.int32)
        label, plain = tfds.features.ClassLabel(names=["negative", "positive"]), tfds.features.ClassLabel(num_classes=2)

        class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("1.0.0")
            parts: dict[str, list] = {}  # noqa: RUF012
            features = {"sentence": text, "label": label, "idx": number}  # noqa: RUF012

            def _info(self):
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(self.features))

            def _split_generators(self, dl_manager):
                return {part: self._examples(examples) for part, examples in self.parts.items()}

            def _generate_examples(self):
                raise NotImplementedError

            def _examples(self, examples):
                strings = [name for name, feature in self.features.items() if feature is text]
                for i, (value, number) in enumerate(examples):
                    yield i, dict.fromkeys(self.features, number) | dict.fromkeys(strings, value)

        def prepared(name, **attributes):
            attributes = {"name": name, "__module__": __name__, **attributes}
            cls = type(Builder)(name, (Builder,), attributes, skip_registration=True)
            cls(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
            return f"tfds:{name}"

        prepared.text, prepared.label, prepared.plain, prepared.number = text, label, plain, number
        return prepared

    def test_own_splits_and_the_names_of_classes(self, prepare):
        parts = {
            "train": numbered(0, 20, (0, 1)),
            "validation": numbered(20, 23, (0, 1)),
            "test": [*numbered(0, 2, (0, 1)), (" \n", 1)],
        }
        data = load_labelled(prepare("nlpx_labelled_a", parts=parts))
        names = ("negative", "positive")
        assert data.labels == names
        assert sorted(data.train) == sorted(numbered(2, 20, names))
        assert sorted(data.validation) == numbered(20, 23, names)
        assert sorted(data.test) == numbered(0, 2, names)
        assert data.dropped == {"in test": 2, "empty text": 1}

    def test_a_part_without_labels_is_absent(self, prepare):
        # As in glue/sst2, whose test labels are secret, and imdb_reviews, which has a split without.
        parts = {
            "train": [*numbered(0, 40, (0, 1)), ("secret", -1)],
            "validation": numbered(50, 54, (0, 1)),
            "test": numbered(60, 80, (-1,)),
            "unsupervised": numbered(80, 100, (-1,)),
        }
        data = load_labelled(prepare("nlpx_labelled_b", parts=parts))
        assert (len(data.train), len(data.validation), len(data.test)) == (38, 4, 2)
        assert {text for text, _ in data.train + data.test} == {text for text, _ in numbered(0, 40)}
        assert data.dropped == {"no label": 1}

    def test_classes_without_names_have_numbers(self, prepare):
        features = {"text": prepare.text, "title": prepare.text, "kind": prepare.plain}
        data = load_labelled(prepare("nlpx_labelled_c", parts={"train": numbered(0, 40, (0, 1))}, features=features))
        assert data.labels == ("0", "1")
        assert (len(data.train), len(data.validation), len(data.test)) == (36, 2, 2)

    def test_refusals(self, prepare):
        parts = {"train": numbered(0, 9, (0, 1))}
        refuse(
            "tfds:nlpx_labelled_d has no class label 'label' and 0 class labels among its features idx, text",
            prepare("nlpx_labelled_d", parts=parts, features={"text": prepare.text, "idx": prepare.number}),
        )
        two = {"text": prepare.text, "a": prepare.plain, "b": prepare.label}
        refuse(
            "and 2 class labels among its features a, b, text", prepare("nlpx_labelled_e", parts=parts, features=two)
        )
        pair = {"premise": prepare.text, "question": prepare.text, "label": prepare.label}
        refuse("no feature 'text' and 2 string features", prepare("nlpx_labelled_f", parts=parts, features=pair))
        secret = prepare("nlpx_labelled_g", parts={"train": numbered(0, 9, (-1,))})
        refuse("tfds:nlpx_labelled_g has no example with a label; choose another set", secret)
        blank = prepare("nlpx_labelled_h", parts={**parts, "test": [(" ", 0)]})
        refuse("holds no example for test: every text is empty", blank)
        refuse("unknown data set tfds:imdb_review; did you mean 'imdb_reviews'", "tfds:imdb_review")


def test_modules_that_are_held_out_are_not_in_the_text_to_pretrain_on():
    data = load_labelled("cpython-modules")
    assert len(data.labels) == 16
    assert min(map(len, (data.train, data.validation, data.test))) > 100
    read = {" ".join(text.split()) for text in load_documents("cpython-docs", validation_fraction=0.25).train}
    assert {text for text, _ in data.train} <= read
    assert not {text for text, _ in (*data.validation, *data.test)} & read
    texts = dict(data.train)
    assert collections.Counter(texts.values())["tkinter"] > 100
    assert sum("event loop" in text for text, module in texts.items() if module == "asyncio") > 5


def test_fewer_examples_are_among_the_more(table):
    data = load_labelled(table(numbered(0, 300)))
    few, more, others = (thinned(data, fraction, seed) for fraction, seed in ((0.1, 3), (0.5, 3), (0.1, 4)))
    assert [len(few.train), len(more.train)] == [round(0.1 * len(data.train)), round(0.5 * len(data.train))]
    assert set(few.train) < set(more.train) < set(data.train)
    assert set(others.train) != set(few.train)
    assert (few.labels, few.test, few.validation) == (data.labels, data.test, data.validation)
    assert len(thinned(data, 1e-6, 0).train) == 1
