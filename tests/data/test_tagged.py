import numpy as np
import pytest

from nlpx.data import evaluation_batches, load_tagged, read_tagged, tagged_columns
from nlpx.errors import InputError
from nlpx.text import SpelledWordTokenizer


def sentences(count, kind="x", word="w"):
    return "".join(f"{word}{number} B-{kind}\nand O\n\n" for number in range(count))


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        (tmp_path / name).write_text(content)
        return f"file:{tmp_path / name}"

    return written


def test_parts_are_given_or_held_out_and_no_sentence_is_in_two(write):
    train = write("train", sentences(40))
    data = load_tagged(train)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [36, 2, 2]
    assert len({words for part in (data.train, data.validation, data.test) for words, _ in part}) == 40
    assert data.types == ("x",)
    given = load_tagged(train, valid=write("valid", sentences(3, word="v")), test=write("test", sentences(4)))
    assert [len(part) for part in (given.train, given.validation, given.test)] == [36, 3, 4]
    assert given.dropped == {"in test": 4}
    assert given.sha256 != data.sha256


def test_long_training_sentences_are_cut_and_counted(write):
    train, others = write("train", sentences(9) + "a B-x\nb I-x\nc O\n"), write("others", "a B-x\nc O\nd O\n")
    data = load_tagged(train, valid=others, test=others, max_length=2)
    assert ("a b", "B-x I-x") in data.train
    assert data.validation == [("a c d", "B-x O O")]
    assert data.dropped == {"cut to 2 words": 1}


def test_columns_are_ids_of_words_letters_and_tags():
    tokenizer = SpelledWordTokenizer(["a"], "ab", longest=3)
    columns = tagged_columns([("a ab", "O B-y"), ("b", "I-x")], tokenizer, ("x", "y"))
    (batch,) = evaluation_batches(columns, lengths=(3,), batch_size=2)
    np.testing.assert_array_equal(batch["words"], [[1, 0, 0], [0, 0, 0]])
    np.testing.assert_array_equal(batch["tags"], [[0, 3, 0], [2, 0, 0]])
    np.testing.assert_array_equal(batch["words_mask"], [[True, True, False], [True, False, False]])
    np.testing.assert_array_equal(batch["spelling"], [[[2, 0, 0], [2, 3, 0], [0] * 3], [[3, 0, 0], [0] * 3, [0] * 3]])
    assert [len(ids) for ids in tagged_columns([("a a a", "O O O")], tokenizer, (), 2)["tags"]] == [2]


@pytest.mark.parametrize(("train", "test", "named"), [
    (sentences(9), sentences(3, "y"), "entities of type 'y' occur in test but not in training"),
    ("a O\nb O\n\nc O\n", "a B-x\n", "no entity in training, only O"),
    (sentences(3), sentences(3), "leaves no sentence for training"),
    (sentences(1), None, "leaves no sentence for training"),
])  # fmt: skip
def test_parts_that_do_not_fit_are_named(train, test, named, write):
    with pytest.raises(InputError, match=named):
        load_tagged(write("train", train), test=test and write("test", test))


@pytest.mark.parametrize(("spec", "named"), [
    ("cldr-entities:fr", "cldr-entities takes no argument"),
    ("cldr-entitys", "did you mean 'cldr-entities'"),
    (__file__, "write file:"),
])  # fmt: skip
def test_unknown_sources_are_named(spec, named):
    with pytest.raises(InputError, match=named):
        load_tagged(spec)


def test_other_sentences_are_read_for_a_model_of_some_types(write):
    test = write("test", sentences(2, "y"))
    assert len(read_tagged(test, ("x", "y"))) == 2
    with pytest.raises(InputError, match="the model has no type 'y'"):
        read_tagged(test, ("x", "z"))
    with pytest.raises(InputError, match="the test sentences cldr-entities are not a file"):
        read_tagged("cldr-entities", ("x",))


def test_tfds_gives_tokens_and_names_of_tags(tmp_path, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    class Tokens(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version("1.0.0")
        name = "nlpx_tokens"

        def _info(self):
            lists, names = tfds.features.Sequence, ["O", "B-x", "I-x"]
            features = {
                "tokens": lists(tfds.features.Text()),
                "pos": lists(tfds.features.ClassLabel(names=["NN"])),
                "ner": lists(tfds.features.ClassLabel(names=names)),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(6), "test": self._generate_examples(-1)}

        def _generate_examples(self, count):
            for n in range(abs(count)):
                tokens = ["é", f"w{n * count}", "of", "x"]
                yield n, {"tokens": tokens, "pos": [0] * 4, "ner": [0, 1, 2, 0]}

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    Tokens(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
    data = load_tagged("tfds:nlpx_tokens")
    assert data.test == [("é w0 of x", "O B-x I-x O")]
    assert len(data.train) == 4  # of six, one is in test and one validates
