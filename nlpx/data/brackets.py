"""`brackets[:LENGTH]`: is this string of brackets balanced, like "(()())", or not, like "())(()"? Nothing to download.

Both kinds have as many "(" as ")". An unbalanced string is a balanced one with two brackets exchanged. To tell them
apart, one has to count the open brackets from the start and read every bracket.
"""

import itertools
import random
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from nlpx.errors import InputError

Example = tuple[str, str]

LABELS = ("balanced", "unbalanced")
LENGTH = 32
_SHORTEST = 4
_CODE = {"(": 1.0, ")": -1.0}


def length_of(argument: str) -> int:
    """Return the LENGTH of `brackets:LENGTH`; 32 for `brackets`.

    Raises:
      InputError: it is not an even number of at least 4.
    """
    if not argument:
        return LENGTH
    if not re.fullmatch(r"\d{1,9}", argument) or int(argument) % 2 or int(argument) < _SHORTEST:
        raise InputError(f"brackets:{argument}: the length must be an even number from {_SHORTEST} on, as brackets:32")
    return int(argument)


def make(seed: int, length: int, count: int) -> list[Example]:
    """Make strings of one length with their labels, alternately balanced and not. Deterministic in the arguments.

    Balanced strings are drawn uniformly, by the cycle lemma (Dvoretzky and Motzkin 1947, doi
    10.1215/S0012-7094-47-01423-3).

    Args:
      seed: any integer.
      length: brackets per string, an even number of at least 4.
      count: number of strings.
    """
    maker = random.Random(f"{seed} {length}")
    strings = (_balanced(maker, length) for _ in itertools.count())
    return [
        (string, LABELS[0]) if number % 2 == 0 else (_exchanged(maker, string), LABELS[1])
        for number, string in zip(range(count), strings, strict=False)
    ]


def is_balanced(string: str) -> bool:
    """Return whether each bracket has its partner."""
    depths = list(itertools.accumulate(int(_CODE[each]) for each in string))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def bracket_features(strings: Sequence[str], length: int) -> Float64[np.ndarray, "rows length"]:
    """Convert strings to features, one column per place: 1 for "(", -1 for ")", 0 after the end of a string. Of a
    longer string only the first `length` brackets are used.

    Raises:
      InputError: a string holds other characters.
    """
    features = np.zeros((len(strings), length))
    for row, string in zip(features, strings, strict=True):
        if other := set(string) - set(_CODE):
            raise InputError(f"{min(other)!r} in {string[:40]!r} is no bracket: write ( and ) alone")
        row[: len(string)] = [_CODE[each] for each in string[:length]]
    return features


def _balanced(maker: random.Random, length: int) -> str:
    steps = ["("] * (length // 2) + [")"] * (length // 2 + 1)
    maker.shuffle(steps)
    depths = list(itertools.accumulate(int(_CODE[each]) for each in steps))
    after = depths.index(min(depths)) + 1  # of all rotations, only this one has no prefix below zero but the whole
    return "".join(steps[after:] + steps[: after - 1])


def _exchanged(maker: random.Random, string: str) -> str:
    while True:
        first, second = sorted(maker.sample(range(len(string)), 2))
        brackets = list(string)
        brackets[first], brackets[second] = brackets[second], brackets[first]
        if not is_balanced(changed := "".join(brackets)):
            return changed
