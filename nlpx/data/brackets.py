"""`brackets[:LENGTH]`: is this string of brackets balanced, as "(()())", or not, as "())(()"? Nothing to download.

Both kinds have as many "(" as ")". A string that is not balanced is a balanced one with two brackets exchanged, so that
it takes a count of the open ones, from the first bracket on, to tell: no bracket can be left unread.
"""

import itertools
import random
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
    """The LENGTH of `brackets:LENGTH`; 32 of `brackets`.

    Raises:
        InputError: it is no even number from 4 on.
    """
    if not argument:
        return LENGTH
    if not argument.isdecimal() or int(argument) % 2 or int(argument) < _SHORTEST:
        raise InputError(f"brackets:{argument}: the length must be an even number from {_SHORTEST} on, as brackets:32")
    return int(argument)


def make(seed: int, length: int, count: int) -> list[Example]:
    """So many strings of one length with their labels, by turns balanced and not; the same for the same arguments.

    Balanced ones are drawn uniformly, by the cycle lemma (Dvoretzky and Motzkin 1947, doi
    10.1215/S0012-7094-47-01423-3).

    Args:
        seed: any integer.
        length: brackets in each, an even number from 4 on.
        count: how many.
    """
    maker = random.Random(f"{seed} {length}")
    strings = (_balanced(maker, length) for _ in itertools.count())
    return [
        (string, LABELS[0]) if number % 2 == 0 else (_exchanged(maker, string), LABELS[1])
        for number, string in zip(range(count), strings, strict=False)
    ]


def is_balanced(string: str) -> bool:
    """Whether each bracket has its partner."""
    depths = list(itertools.accumulate(int(_CODE[each]) for each in string))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def bracket_features(strings: Sequence[str], length: int) -> Float64[np.ndarray, "rows length"]:
    """Strings as a plain network reads them, a column a place: 1 for "(", -1 for ")", 0 after the end of a string. Of a
    longer string it sees the first `length` brackets alone.

    Raises:
        InputError: a string holds something else.
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
    after = depths.index(min(depths)) + 1  # the only turn that has no prefix below zero but the whole
    return "".join(steps[after:] + steps[: after - 1])


def _exchanged(maker: random.Random, string: str) -> str:
    while True:
        first, second = sorted(maker.sample(range(len(string)), 2))
        brackets = list(string)
        brackets[first], brackets[second] = brackets[second], brackets[first]
        if not is_balanced(changed := "".join(brackets)):
            return changed
