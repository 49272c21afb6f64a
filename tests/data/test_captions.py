import io

import numpy as np
import pytest

from nlpx.data import captions, guessed_captions, load_captions, read_captions
from nlpx.errors import InputError

pytest.importorskip("PIL")
pytest.importorskip("sklearn")


@pytest.fixture
def write(tmp_path):
    """Writes a table of pictures, each of one shade, given as (shade, caption)."""
    from PIL import Image

    def write(name, *rows):
        for shade, _ in rows:
            Image.fromarray(np.full((4, 4), shade, np.uint8)).save(tmp_path / f"{name}-{shade}.png")
        path = tmp_path / f"{name}.tsv"
        path.write_text("".join(f"{name}-{shade}.png\t{caption}\n" for shade, caption in rows))
        return f"file:{path}"

    return write


def shades(known, part):
    return known.seen(part)[:, 0, 0, 0].tolist()


def test_parts_that_lack_are_held_out_by_picture(write):
    rows = [(shade, f"shade {shade} {again}") for shade in range(60) for again in ("once", "again")]
    known = load_captions(write("all", *rows), size=4)
    parts = {part: set(shades(known, part)) for part in ("train", "validation", "test")}
    assert [len(part) for part in parts.values()] == [54, 3, 3]
    assert set.union(*parts.values()) == set(range(60))
    assert len(known.train) == 108  # all captions to train on, one to be measured by
    assert all(text.endswith("once") for text in known.columns("test")["target"])
    assert known.dropped == {"further captions in test": 3, "further captions in validation": 3}
    for part in parts:  # each beside its own
        assert [f"shade {shade}" for shade in shades(known, part)] == [
            text.rsplit(" ", 1)[0] for text in known.columns(part)["target"]
        ]
    again = load_captions(write("all", *rows, (70, "one more")), size=4)
    assert len(parts["test"] & set(shades(again, "test"))) >= 2  # by the picture's hash
    assert again.sha256 != known.sha256


def test_the_same_picture_under_another_name_is_not_trained_on(write):
    train = write("train", *((shade, "a") for shade in range(10)))
    known = load_captions(
        train, size=4, valid=write("valid", (3, "b")), test=write("test", (5, "c"), (77, "D")), lowercase=True
    )
    assert known.dropped == {"in test": 1, "in validation": 1}
    assert set(shades(known, "train")) == set(range(10)) - {3, 5}
    assert known.columns("test")["target"] == ["c", "d"]
    assert known.name.startswith(train + ", validation file:")


def test_pictures_to_measure_on(write):
    pictures, texts = read_captions(write("test", (5, "first  one"), (9, "nine"), (5, "second")), size=8, color=True)
    assert pictures.shape == (2, 8, 8, 3)
    assert texts == ["first one", "nine"]


def test_scenes(monkeypatch):
    small = {"train": 30, "validation": 5, "test": 5}
    made = captions.digit_scenes.make(0, **small)
    monkeypatch.setattr(captions.digit_scenes, "make", lambda seed: made)
    known = load_captions("digit-scenes")
    np.testing.assert_array_equal(known.seen("test"), made["test"].pictures)
    np.testing.assert_array_equal(known.seen("train", [2, 7]), made["train"].pictures[[2, 7]])
    assert known.columns("train")["target"] == made["train"].captions
    assert known.pictures.shape == (40, 32, 32, 1)
    (guesses,) = guessed_captions("digit-scenes", made["test"].captions).values()
    assert len(guesses) == 5
    assert guessed_captions("file:x.tsv", made["test"].captions) == {}


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        ("digit-scene", {}, "unknown source of captions 'digit-scene'; did you mean 'digit-scenes'"),
        ("digit-scenes", {"size": 64}, "digit-scenes are grey pictures of 32 x 32 pixels: leave out size and color"),
        ("digit-scenes:3", {}, "takes no argument, but digit-scenes:3 gives '3'"),
        ("tfds:no name", {}, "is no name of a data set"),
        ("file:nowhere.tsv", {}, "nowhere.tsv"),
    ],
)
def test_a_source_that_will_not_do_is_named(spec, options, message):
    with pytest.raises(InputError, match=message):
        load_captions(spec, **options)


def test_too_few_pictures_are_named(write):
    with pytest.raises(InputError, match="leaves no picture for training; give more pictures"):
        load_captions(write("all", (1, "a")), size=4)


class _Set:
    """Prepares a set of pictures of one shade, each with two captions, where TFDS looks."""

    def __init__(self, folder, monkeypatch):
        tfds, image = pytest.importorskip("tensorflow_datasets"), pytest.importorskip("PIL.Image")
        monkeypatch.setattr(tfds.core.constants, "DATA_DIR", str(folder))

        class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
            VERSION = tfds.core.Version("1.0.0")
            name = "nlpx_small_captions"

            def _info(self):
                texts = tfds.features.Sequence({"id": np.int64, "text": tfds.features.Text()})
                features = {"captions": texts, "image": tfds.features.Image(shape=(None, None, 3))}
                return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

            def _split_generators(self, dl_manager):
                return {"train": self._generate_examples(range(6)), "val": self._generate_examples(range(6, 8))}

            def _generate_examples(self, shades):
                for shade in shades:
                    texts = [{"id": number, "text": f"shade {shade} é{number}"} for number in range(2)]
                    file = io.BytesIO()  # arrays would ask for TensorFlow
                    image.fromarray(np.full((6, 6, 3), shade, np.uint8)).save(file, format="PNG")
                    file.seek(0)
                    yield shade, {"image": file, "captions": texts}

        Builder(data_dir=str(folder), file_format="array_record").download_and_prepare()


def test_a_set_of_tfds(tmp_path, monkeypatch):
    _Set(tmp_path, monkeypatch)
    known = load_captions("tfds:nlpx_small_captions", size=6)
    assert known.columns("validation")["target"] == [f"shade {shade} é0" for shade in shades(known, "validation")]
    assert sorted(known.columns("train")["target"]) == sorted(
        f"shade {shade} é{number}" for shade in set(shades(known, "train")) for number in range(2)
    )
    assert known.pictures.shape[1:] == (6, 6, 1)


@pytest.mark.parametrize(
    "given",
    ["one", b"one", ["one", b"two"], {"text": ["one", "two"], "id": [1, 2]}, [{"id": 1, "text": b"one"}]],
)
def test_texts_are_found_however_they_are_nested(given):
    assert list(captions.texts_in(given)) in (["one"], ["one", "two"])
