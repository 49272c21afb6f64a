"""Strings that end a text."""

from collections.abc import Sequence

from nlpx.errors import InputError


def check_stops(stops: Sequence[str]) -> None:
    """Raise an InputError for an empty string, which would end every text before it begins."""
    if "" in stops:
        raise InputError("a stop string is empty: give at least one character")


def cut_at_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """Cut a text before the stop string that ends first in it; of those that end together, before the longest.

    Returns:
      The text, without the stop string, and whether there was one.
    """
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)[1]], True) if found else (text, False)


def settled(text: str, stops: Sequence[str]) -> str:
    """Return the part of a growing text that no stop string can cut any more: without an end that one begins with."""
    longest = max((len(stop) for stop in stops), default=0)
    for at in range(max(0, len(text) - longest + 1), len(text)):
        if any(stop.startswith(text[at:]) for stop in stops):
            return text[:at]
    return text
