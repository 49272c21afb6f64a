import functools
import gzip

import pytest

from nlpx.data import cldr, load_pairs, prepare_text, read_pairs
from nlpx.errors import InputError


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.fixture
def parallel(tmp_path):
    """Writes the pairs as two parallel files; returns the SPEC."""

    def written(pairs, name="some"):
        paths = [
            write(tmp_path / f"{name}.{language}", "".join(f"{pair[side]}\n" for pair in pairs))
            for side, language in enumerate(("fr", "en"))
        ]
        return "file:" + ",".join(paths)

    return written


def numbered(first, last):
    return [(f"phrase {i}", f"sentence {i}") for i in range(first, last)]


def refuse(message, spec, **options):
    with pytest.raises(InputError, match=message) as error:
        load_pairs(spec, **options)
    assert "\n" not in str(error.value)


def test_parts_are_held_out(parallel):
    pairs = numbered(0, 100)
    data = load_pairs(parallel(pairs))
    assert (len(data.train), len(data.validation), len(data.test)) == (90, 5, 5)
    assert sorted(data.train + data.validation + data.test) == sorted(pairs)
    assert data.train == [pair for pair in pairs if pair in data.train]  # in the order of the file
    assert data.dropped == {}
    assert load_pairs(parallel(pairs), seed=5) == data
    # By the pair alone: in another order and beside a few others the same are held out.
    again = load_pairs(parallel([*reversed(pairs), *numbered(100, 104)]))
    assert len(set(again.test + again.validation) & set(data.test + data.validation)) >= 8


def test_at_most_2000_are_held_out(parallel):
    data = load_pairs(parallel(numbered(0, 45_000)))
    assert (len(data.train), len(data.validation), len(data.test)) == (41_000, 2000, 2000)


def test_no_held_out_source_trains(parallel):
    # Each source has three translations, one of them twice.
    pairs = [(f"phrase {i}", f"sentence {i} {k}") for i in range(60) for k in (0, 1, 2, 2)]
    data = load_pairs(parallel(pairs))
    held_out = data.test + data.validation
    assert len(held_out) == 9 + 9  # of 180 distinct pairs
    assert len(set(held_out)) == len(held_out)
    for part in (data.test, data.validation):
        assert not {source for source, _ in part} & {source for source, _ in data.train}
    assert not {source for source, _ in data.test} & {source for source, _ in data.validation}
    assert set(data.dropped) == {"in test", "in validation"}
    assert len(data.train) + len(held_out) + sum(data.dropped.values()) == len(pairs)


def test_given_parts(parallel):
    train, validation, test = numbered(0, 50), numbered(48, 55), numbered(45, 46) + numbered(60, 63)
    options = {"valid": parallel(validation, "valid"), "test": parallel(test, "test")}
    data = load_pairs(parallel(train), **options)
    assert data.validation == validation
    assert data.test == test
    assert data.train == [pair for pair in train if pair not in validation + test]
    assert data.dropped == {"in test": 1, "in validation": 2}
    assert data.name == f"{parallel(train)}, validation {options['valid']}, test {options['test']}"
    only_test = load_pairs(parallel(train), test=options["test"])
    assert only_test.test == test
    assert len(only_test.validation) == 2
    assert set(only_test.validation) < set(train)


def test_digest_tells_data_apart(parallel):
    digests = [
        load_pairs(parallel(pairs)).sha256
        for pairs in (numbered(0, 9), numbered(0, 10), [(b, a) for a, b in numbered(0, 9)])
    ]
    assert len(set(digests)) == 3
    assert digests[0] == load_pairs(parallel(numbered(0, 9))).sha256


def test_lines_are_cleaned_and_empty_ones_counted(parallel):
    odd = [
        ("Ça\u202fva\u00a0?", " How  are you? "),
        ("", "nothing"),
        ("rien", " \t"),
        ("", ""),
        ("l\u2028igne", "li\x85ne\r"),
    ]
    data = load_pairs(parallel([*numbered(0, 8), *odd]), lowercase=True)
    everything = data.train + data.validation + data.test
    assert sorted(everything) == sorted([*numbered(0, 8), ("ça va ?", "how are you?"), ("l igne", "li ne")])
    assert data.dropped == {"empty line": 3}
    upper = load_pairs(parallel([*numbered(0, 8), *odd]))
    assert ("Ça va ?", "How are you?") in upper.train + upper.validation + upper.test


def test_tables(tmp_path):
    lines = [f"english {i}\tfrançais {i}\tlicence {i}\n" for i in range(30)]
    path = write(tmp_path / "some.tsv", "".join([*lines[:10], "\n", "a\t \tb\n", *lines[10:]])[:-1])

    def sides(spec):
        data = load_pairs(spec)
        assert data.dropped == {"empty line": 2}
        pairs = data.train + data.validation + data.test
        assert sorted(source.split()[-1] for source, _ in pairs) == sorted(str(i) for i in range(30))
        return {tuple(side.split()[0] for side in pair) for pair in pairs}

    assert sides(f"file:{path}") == {("english", "français")}
    assert sides(f"file:{path}:2,1") == {("français", "english")}
    assert load_pairs(f"file:{path}:3,1", lowercase=True).train[0][0].startswith("licence")
    zipped = tmp_path / "some.tsv.gz"
    zipped.write_bytes(gzip.compress((tmp_path / "some.tsv").read_bytes()))
    assert sides(f"file:{zipped}:2,1") == {("français", "english")}


def test_parallel_files_turned_round(parallel):
    spec = parallel(numbered(0, 20))
    assert load_pairs(f"{spec}:2,1").train[0][0].startswith("sentence")


def test_bad_files(tmp_path, parallel):
    two = write(tmp_path / "two", "a\nb\n")
    three = write(tmp_path / "three", "a\nb\nc\n")
    refuse("two has 2 lines, but .*three has 3; lines must belong together", f"file:{two},{three}")
    table = write(tmp_path / "table", "a\tb\n\nc d\n")
    refuse(r"table, line 3: no tab between source and target in 'c d'", f"file:{table}")
    table = write(tmp_path / "table", "a\tb\tc\na\tb\n")
    refuse(r"table, line 2: 2 columns, but 3 and 1 are asked for", f"file:{table}:3,1")
    refuse("columns 1,1 of .*table cannot be source and target", f"file:{table}:1,1")
    refuse("columns 0,1 of .*table cannot be source and target", f"file:{table}:0,1")
    refuse("neither file:SOURCE,TARGET nor file:TABLE", f"file:{two},{three},{table}")
    refuse("neither file:SOURCE,TARGET nor file:TABLE", f"file:{two},{three}:3,1")
    refuse("cannot read .*none: No such file", f"file:{two},{tmp_path}/none")
    refuse("cannot read .*table:9", f"file:{table}:{'9' * 5000},1")
    refuse("is a folder; name the file of pairs", f"file:{tmp_path}")
    blank = write(tmp_path / "blank", "\n\n")
    refuse("holds no pair for train: every line is empty on one side", f"file:{blank},{two}")
    refuse("holds no pair for test: every line is empty", parallel(numbered(0, 9)), test=f"file:{blank}")
    refuse("leaves no pair for training", parallel(numbered(0, 2)))
    refuse("leaves no pair for training", parallel(numbered(0, 9)), valid=parallel(numbered(0, 9)))


def test_unknown_sources(parallel):
    refuse(r"unknown source of pairs 'cdlr'; did you mean 'cldr'\?", "cdlr")
    refuse("unknown direction of cldr 'fr-it'", "cldr:fr-it")
    refuse("the validation pairs cldr are no files", parallel(numbered(0, 9)), valid="cldr")
    refuse("the test pairs tfds:a are no files", parallel(numbered(0, 9)), test="tfds:a")


def test_built_in_pairs(monkeypatch):
    pytest.importorskip("babel")
    pytest.importorskip("num2words")
    monkeypatch.setattr(cldr, "make", functools.partial(cldr.make, train=2000, validation=40, test=80))
    data = load_pairs("cldr:en-fr", lowercase=True, seed=1)
    assert (len(data.train), len(data.validation), len(data.test)) == (2000, 40, 80)
    assert ("germany", "allemagne") in data.train
    assert list(data.dropped) == ["source with two translations"]
    assert load_pairs("cldr:en-fr", lowercase=True, seed=2).sha256 != data.sha256


def test_words_and_punctuation_apart(tmp_path):
    (tmp_path / "a.tsv").write_text("Don't  call x.f(1.5), ever.\tNever call it!\nA b.\tA.\n" + "x\ty\n")
    (pair,) = [pair for pair in read_pairs(f"file:{tmp_path / 'a.tsv'}", split=True) if "call" in pair[0]]
    assert pair == ("Do n't call x . f ( 1.5 ) , ever .", "Never call it !")
    assert prepare_text("Don't  call it. ", lowercase=True, split=False) == "don't call it."


class TestTFDS:
    @pytest.fixture
    def prepare(self, tmp_path, monkeypatch):
        """Prepares a set of pairs where TFDS looks, with the given splits, and returns its SPEC."""
        tfds = pytest.importorskip("tensorflow_datasets")
        monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))

        class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("1.0.0")
            BUILDER_CONFIGS = [tfds.core.BuilderConfig(name="fr-en")]  # noqa: RUF012
            parts: dict[str, list] = {}  # noqa: RUF012
            languages = ("en", "fr")
            keys = None

            def _info(self):
                features = tfds.features.Translation(languages=self.languages)
                return self.dataset_info_from_configs(features=features, supervised_keys=self.keys)

            def _split_generators(self, dl_manager):
                return {part: self._examples(pairs) for part, pairs in self.parts.items()}

            def _generate_examples(self):
                raise NotImplementedError

            def _examples(self, pairs):
                for i, (fr, en) in enumerate(pairs):
                    yield i, {"fr": fr, "en": en, "de": "x"} if "de" in self.languages else {"fr": fr, "en": en}

        def prepared(name, **attributes):
            attributes = {"name": name, "__module__": __name__, **attributes}
            cls = type(Builder)(name, (Builder,), attributes, skip_registration=True)
            cls(config="fr-en", data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
            return f"tfds:{name}/fr-en"

        return prepared

    def test_own_splits_in_the_order_of_the_name(self, prepare):
        parts = {"train": numbered(0, 20), "validation": numbered(20, 23), "test": [*numbered(0, 2), ("é", " ")]}
        spec = prepare("nlpx_pairs_a", parts=parts)
        data = load_pairs(spec)
        assert sorted(data.train) == sorted(numbered(2, 20))
        assert sorted(data.validation) == numbered(20, 23)
        assert sorted(data.test) == numbered(0, 2)
        assert data.dropped == {"in test": 2, "empty line": 1}
        assert sorted(load_pairs(f"{spec}:2,1").test) == [(b, a) for a, b in numbered(0, 2)]
        refuse("asks for more than two texts", f"{spec}:3,1")

    def test_a_missing_part_is_held_out(self, prepare):
        data = load_pairs(prepare("nlpx_pairs_b", parts={"train": numbered(0, 40), "test": numbered(50, 52)}))
        assert (len(data.train), len(data.validation), sorted(data.test)) == (38, 2, numbered(50, 52))

    def test_three_languages_are_refused(self, prepare):
        spec = prepare("nlpx_pairs_c", parts={"train": numbered(0, 4)}, languages=("de", "en", "fr"))
        refuse("has 3 string features among its features de, en, fr", spec)

    def test_of_several_texts_the_set_names_two(self, prepare):
        """As cnn_dailymail, which has a number and a publisher beside article and highlights."""
        options = {"languages": ("de", "en", "fr"), "keys": ("en", "fr")}
        spec = prepare("nlpx_pairs_d", parts={"train": numbered(0, 20)}, **options)
        assert load_pairs(f"{spec}:2,1").train[0][0].startswith("phrase")

    def test_names_and_no_network(self, tmp_path, monkeypatch):
        tfds = pytest.importorskip("tensorflow_datasets")
        monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")  # nothing listens: no network, on every machine
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("NO_PROXY", "")
        refuse(r"unknown data set tfds:wmt14_translat/fr-en; did you mean", "tfds:wmt14_translat/fr-en")
        refuse(
            "tfds:ted_hrlr_translate/pt_to_en cannot be downloaded or prepared here",
            "tfds:ted_hrlr_translate/pt_to_en",
        )
