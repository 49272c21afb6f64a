"""`digit-scenes`: which handwritten digits stand where in a picture? Nothing to download.

The digits are scikit-learn's (1,797 of 8 x 8 pixels by 13 writers, Alpaydin and Kaynak 1998, doi 10.24432/C50P49),
shuffled once, whatever the seed: eight tenths are for training, one for validation, one for the test. So no image of a
digit is in two parts, though its writer may be.

A scene has 3 x 3 fields, each with room for a digit to shift by a pixel or two. A caption names the digits row by row,
from the left. Each scene has exactly one caption:

    all on one line               a three left of a seven left of a nine
    all in one column             a three above a seven above a nine
    otherwise, from the first     a three above a seven, left of a nine
                                  a three above and left of a seven, above a nine
    the same digit                two threes side by side; three threes one above the other
"""

import itertools
import random
import re
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from nlpx.errors import needs

SIDE = 32
"""Pixels of a side of a scene."""
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_FIELD, _DIGIT = 10, 8
_TENTHS = {"train": (0, 8), "validation": (8, 9), "test": (9, 10)}


class Scenes(NamedTuple):
    """Pictures and their captions."""

    pictures: UInt8[np.ndarray, "n y x 1"]
    captions: list[str]


def make(seed: int, *, train: int = 30_000, validation: int = 1000, test: int = 1000) -> dict[str, Scenes]:
    """Make the scenes of each part; they are the same for the same arguments.

    Args:
      seed: any integer.
      train, validation, test: how many scenes of each.

    Raises:
      InputError: scikit-learn is missing.
    """
    with needs("digit-scenes"):
        from sklearn.datasets import load_digits
    digits = load_digits()
    order = list(range(len(digits.target)))
    random.Random(0).shuffle(order)
    scenes = {}
    for part, count in (("train", train), ("validation", validation), ("test", test)):
        own = order[slice(*(tenth * len(order) // 10 for tenth in _TENTHS[part]))]
        maker = random.Random(f"{seed} {part}")
        made = [_scene(maker, digits.images[own] / 16, digits.target[own]) for _ in range(count)]
        scenes[part] = Scenes(np.stack([picture for picture, _ in made]), [caption for _, caption in made])
    return scenes


def redraw(captions: list[str], seed: int = 0) -> list[str] | None:
    """Replace each digit of the captions at random: a model that sees every place and reads no digit scores this.

    Returns:
      The captions, or None if one of them names no digit.
    """
    maker = random.Random(seed)
    number = "|".join(NUMBERS)

    def other(match: re.Match[str]) -> str:
        drawn = maker.choice(NUMBERS)
        return _with_article(drawn) if match[1] else _plural(drawn)

    # Neither how many there are ("two threes") nor "one above the other" is a digit.
    pattern = re.compile(rf"\b(an?) (?:{number})\b|\b(?:{number})(?:es|s)\b")
    return [pattern.sub(other, each) for each in captions] if all(map(pattern.search, captions)) else None


def _scene(maker: random.Random, images: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, str]:
    fields = sorted(maker.sample(list(itertools.product(range(3), range(3))), maker.choice((2, 3))))
    chosen = [maker.randrange(len(targets)) for _ in fields]
    if maker.random() < 0.1:  # the same digit, but not the same image of it
        chosen = [maker.choice(np.flatnonzero(targets == targets[chosen[0]])) for _ in fields]
    ground = maker.uniform(30, 100)
    picture = np.full((SIDE, SIDE), ground)
    for (row, column), index in zip(fields, chosen, strict=True):
        top, left = (1 + _FIELD * at + maker.randint(0, _FIELD - _DIGIT) for at in (row, column))
        picture[top : top + _DIGIT, left : left + _DIGIT] += images[index] * (255 - ground)
    return picture.round().astype(np.uint8)[..., None], caption(fields, [int(targets[index]) for index in chosen])


def caption(fields: list[tuple[int, int]], digits: list[int]) -> str:
    """Return the one sentence for digits on fields (row, column), given line by line, from the left."""
    names = [NUMBERS[digit] for digit in digits]
    one_line, one_column = (len({field[axis] for field in fields}) == 1 for axis in (0, 1))
    if len(set(digits)) == 1 and (one_line or one_column):
        return f"{NUMBERS[len(digits)]} {_plural(names[0])} {'side by side' if one_line else 'one above the other'}"
    articles = [_with_article(name) for name in names]
    if one_line or one_column:
        return (" left of " if one_line else " above ").join(articles)
    relations = [f"{_relation(fields[0], field)} {name}" for field, name in zip(fields[1:], articles[1:], strict=True)]
    return f"{articles[0]} {', '.join(relations)}"


def _relation(field: tuple[int, int], other: tuple[int, int]) -> str:
    """Say how the first field lies to one that comes after it, line by line."""
    (row, column), (other_row, other_column) = field, other
    above, beside = other_row > row, column - other_column
    side = "left of" if beside < 0 else "right of"
    if not above:
        return side
    return f"above and {side}" if beside else "above"


def _with_article(name: str) -> str:
    return f"an {name}" if name == "eight" else f"a {name}"


def _plural(name: str) -> str:
    return f"{name}es" if name == "six" else f"{name}s"
