import time

import pytest

from nlpx.data import load_documents, load_text
from nlpx.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets")


class _Small(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Splits and features are the class's; each example's strings name its split and number."""

    VERSION = tfds.core.Version("1.0.0")
    parts = {"train": 8, "validation": 2, "test": 3}  # noqa: RUF012
    strings = ("text", "title")

    def _info(self):
        features = {"label": tfds.features.ClassLabel(num_classes=2)}
        features |= {name: tfds.features.Text() for name in self.strings}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

    def _split_generators(self, dl_manager):
        return {part: self._examples(part, count) for part, count in self.parts.items()}

    def _generate_examples(self):
        raise NotImplementedError

    def _examples(self, part, count):
        for i in range(count):
            yield i, {"label": 0} | {name: f"{part} {name} é{i}" for name in self.strings}


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """Prepares a set of the given class attributes where TFDS looks, and returns its SPEC."""
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))  # TFDS reads TFDS_DATA_DIR at import
    names = iter(["nlpx_small_a", "nlpx_small_b"])

    def prepared(**attributes):
        name = next(names)
        cls = type(_Small)(
            name, (_Small,), {"name": name, "__module__": __name__, **attributes}, skip_registration=True
        )
        cls(data_dir=str(tmp_path), file_format="array_record").download_and_prepare()
        return f"tfds:{name}"

    return prepared


def documents(part, feature, count):
    return sorted(f"{part} {feature} é{i}" for i in range(count))


def split(text):
    assert text.endswith("\n\n")
    return sorted(text[:-2].split("\n\n"))


def test_own_splits_and_the_text_feature(prepare):
    spec = prepare()
    data = load_text(spec)
    assert split(data.train) == documents("train", "text", 8)
    assert split(data.validation) == documents("validation", "text", 2)
    apart = load_documents(spec)
    assert sorted(apart.train) == documents("train", "text", 8)
    assert sorted(apart.validation) == documents("validation", "text", 2)


def test_test_stands_in_for_validation_and_the_only_string_for_text(prepare):
    data = load_text(prepare(parts={"train": 4, "test": 2}, strings=("sentence",)))
    assert split(data.train) == documents("train", "sentence", 4)
    assert split(data.validation) == documents("test", "sentence", 2)


def test_a_single_split_is_cut(prepare):
    data = load_text(prepare(parts={"train": 10}), validation_fraction=0.2)
    assert len(split(data.train)) == 8
    assert split(data.train + data.validation) == documents("train", "text", 10)


def test_two_string_features_are_refused(prepare):
    with pytest.raises(InputError, match="2 string features among its features body, label, title"):
        load_text(prepare(strings=("title", "body")))


def test_names(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    with pytest.raises(InputError, match=r"unknown data set tfds:imdb_review; did you mean 'imdb_reviews'\?"):
        load_text("tfds:imdb_review")
    with pytest.raises(InputError, match=r"tfds:imdb_reviews/nope cannot be opened"):
        load_text("tfds:imdb_reviews/nope")
    for name in ("", "a b", "huggingface:squad", "gs://x"):
        with pytest.raises(InputError, match="no name of a data set"):
            load_text(f"tfds:{name}")


def test_without_network_the_error_is_prompt(tmp_path, monkeypatch, capfd):
    from tensorflow_datasets.core.download import downloader

    monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(tmp_path))
    # A proxy where nothing listens: no network, on every machine.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    retries = downloader.MAX_RETRIES
    started = time.monotonic()
    with pytest.raises(InputError, match="tfds:tiny_shakespeare cannot be downloaded or prepared here") as error:
        load_text("tfds:tiny_shakespeare")
    assert time.monotonic() - started < 15
    assert "\n" not in str(error.value)
    assert retries == downloader.MAX_RETRIES
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")
