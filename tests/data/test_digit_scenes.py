import collections
import itertools
import re

import numpy as np
import pytest

from nlpx.data import digit_scenes
from nlpx.data.digit_scenes import NUMBERS, caption, make, redraw

sklearn_datasets = pytest.importorskip("sklearn.datasets")


@pytest.fixture(scope="module")
def made():
    return make(0, train=300, validation=60, test=60)


def test_the_seed_decides(made):
    again, other = (make(seed, train=5, validation=2, test=2) for seed in (0, 1))
    np.testing.assert_array_equal(again["test"].pictures, made["test"].pictures[:2])
    assert again["test"].captions == made["test"].captions[:2]
    np.testing.assert_array_equal(make(0, train=5, validation=2, test=2)["train"].pictures, again["train"].pictures)
    assert other["train"].captions != again["train"].captions


def digits_of(picture):
    """The 8 x 8 images on a scene, in whole sixteenths of ink, found by where there is ink, line by line."""
    ground = picture[0, 0, 0]  # the border is empty
    ink = (picture[..., 0].astype(float) - ground) * 16 / (255 - ground)
    for row in range(3):
        for column in range(3):
            field = ink[1 + 10 * row :, 1 + 10 * column :][:10, :10]
            if field.max() > 1:
                yield field.round()


def test_a_digit_is_in_one_part_alone_whatever_the_seed(made):
    """So that a model of one seed can be measured on scenes of another."""
    other = make(1, train=300, validation=60, test=60)
    images = sklearn_datasets.load_digits().images
    padded = [
        np.pad(image, ((top, 2 - top), (left, 2 - left))) for image in images for top in range(3) for left in range(3)
    ]
    place = {image.astype(int).tobytes(): number // 9 for number, image in enumerate(padded)}
    used = {
        part: {
            place[field.astype(int).tobytes()]
            for picture in (*scenes.pictures, *other[part].pictures)
            for field in digits_of(picture)
        }
        for part, scenes in made.items()
    }
    assert all(len(numbers) > 50 for numbers in used.values())
    assert not any(one & other for one, other in itertools.combinations(used.values(), 2))


def test_captions_name_the_digits_in_order(made):
    digits = sklearn_datasets.load_digits()
    place = {
        np.pad(image, ((top, 2 - top), (left, 2 - left))).astype(int).tobytes(): NUMBERS[target]
        for image, target in zip(digits.images, digits.target, strict=True)
        for top in range(3)
        for left in range(3)
    }
    for picture, text in zip(made["test"].pictures, made["test"].captions, strict=True):
        seen = [place[field.astype(int).tobytes()] for field in digits_of(picture)]
        if match := re.fullmatch(r"(two|three) (\w+?)(?:es|s) (side by side|one above the other)", text):
            plural = match[2] if match[2] in NUMBERS else match[2] + "e"
            assert seen == [plural] * NUMBERS.index(match[1]), text
        else:
            assert seen == re.findall(rf"\ban? ({'|'.join(NUMBERS)})", text), text


@pytest.mark.parametrize(
    ("fields", "digits", "expected"),
    [
        ([(0, 0), (0, 2)], [3, 8], "a three left of an eight"),
        ([(0, 1), (2, 1)], [8, 6], "an eight above a six"),
        ([(0, 0), (1, 2)], [1, 2], "a one above and left of a two"),
        ([(0, 2), (2, 0)], [1, 1], "a one above and right of a one"),
        ([(0, 0), (0, 1), (0, 2)], [3, 7, 9], "a three left of a seven left of a nine"),
        ([(0, 0), (1, 0), (2, 0)], [3, 7, 9], "a three above a seven above a nine"),
        ([(0, 0), (0, 1), (1, 0)], [3, 9, 7], "a three left of a nine, above a seven"),
        ([(0, 0), (0, 2)], [6, 6], "two sixes side by side"),
        ([(0, 0), (1, 0), (2, 0)], [5, 5, 5], "three fives one above the other"),
        ([(0, 0), (0, 1), (1, 0)], [5, 5, 5], "a five left of a five, above a five"),
    ],
)
def test_what_is_said_of_a_scene(fields, digits, expected):
    assert caption(fields, digits) == expected


def test_all_templates_occur_and_most_test_captions_are_new(made):
    kinds = collections.Counter(
        re.sub("|".join(NUMBERS), "#", text.replace("an eight", "a eight")) for text in made["train"].captions
    )
    assert len(kinds) > 15
    assert any("side by side" in text for text in made["train"].captions)
    known = set(made["train"].captions)
    assert sum(text in known for text in made["test"].captions) < 20


def test_redrawing_changes_digits_alone():
    texts = ["an eight above and left of a one", "two sixes one above the other", "a six above a six"] * 30
    redrawn = redraw(texts)
    pattern = re.compile(rf"\ban? (?:{'|'.join(NUMBERS)})\b|(?<=^two )\w+")
    assert [pattern.sub("#", text) for text in redrawn] == [pattern.sub("#", text) for text in texts]
    assert not any(re.search(r"\ba eight|\ban [^e]", text) for text in redrawn)
    assert len(set(redrawn)) > 40
    assert redraw(["a dog on a meadow"]) is None


def test_scikit_learn_is_asked_for(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.datasets", None)
    with pytest.raises(ValueError, match=r"digit-scenes needs sklearn, .*pip install 'nlpx\[experiments\]'"):
        digit_scenes.make(0, train=1, validation=1, test=1)
