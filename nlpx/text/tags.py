"""Entity tags of words in the schemes IOB1, IOB2 and IOBES: checked, recognized, and converted to IOB2.

A tag is `O` (no entity) or PREFIX-TYPE. Inside this project all are IOB2: `B-x` begins an entity of type x, `I-x`
continues it. IOB1 (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040) writes B only directly after another entity of the
same type, and I otherwise. IOBES marks the last word of an entity E, and a single word S; BILOU writes L and U instead.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from typing import Any

from nlpx.errors import InputError

SCHEMES = ("iob1", "iob2", "iobes")
OUTSIDE = "O"
"""The tag of a word that belongs to no entity."""

Entity = tuple[str, int, int]
"""Its type, the place of its first word, and the place after its last."""
Where = Callable[[int, int], str]
"""Names the place of a word, such as "t.conll, line 7", given the numbers of its sentence and of the word in it."""

_BILOU = {"L": "E", "U": "S"}
_PREFIXES = {"iob1": "BI", "iob2": "BI", "iobes": "BIES"}


def split_tag(tag: str) -> tuple[str, str]:
    """Split a tag into prefix and type; "O" and "" for `O`. L and U of BILOU become E and S.

    Raises:
      InputError: a tag of another form.
    """
    prefix, dash, kind = tag.partition("-")
    prefix = _BILOU.get(prefix, prefix)
    if tag != OUTSIDE and not (prefix in ("B", "I", "E", "S") and dash and kind):
        raise InputError(f"the tag {tag!r} is neither O nor PREFIX-TYPE, such as B-PER")
    return prefix, kind


def tags_of(types: Iterable[str]) -> tuple[str, ...]:
    """Return all tags of IOB2: O, then B and I of each type."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def entities(tags: Sequence[str]) -> list[Entity]:
    """Find the entities of a sentence in IOB2. An I that continues nothing begins an entity, as in conlleval."""
    found: list[Entity] = []
    for place, (before, now) in enumerate(pairwise([OUTSIDE, *tags])):
        (_, kind_before), (prefix, kind) = split_tag(before), split_tag(now)
        if prefix == "I" and kind == kind_before:
            found[-1] = (*found[-1][:2], place + 1)
        elif kind:
            found.append((kind, place, place + 1))
    return found


def _fault(before: str, now: str, scheme: str) -> bool:
    """Tell whether a tag cannot follow another; O stands before and after a sentence."""
    (p, x), (q, y) = split_tag(before), split_tag(now)
    inside = bool(x) and x == y  # of one type, whatever the prefixes
    if scheme == "iob1":
        return q == "B" and not inside
    if scheme == "iob2":
        return q == "I" and not inside
    goes_on = p in ("B", "I")
    return goes_on != (q in ("I", "E")) or (goes_on and not inside)


def _first_fault(number: int, tags: Sequence[str], scheme: str, where: Where) -> str | None:
    for place, (before, now) in enumerate(pairwise([OUTSIDE, *tags, OUTSIDE])):
        if place < len(tags) and split_tag(now)[0] not in ("O", *_PREFIXES[scheme]):
            return f"{where(number, place)}: {now} is no tag of {scheme.upper()}"
        if _fault(before, now, scheme):
            if place == len(tags):
                return f"{where(number, place - 1)}: the sentence ends with {before}, in the middle of an entity"
            after = f"follow {before}" if place else "begin a sentence"
            return f"{where(number, place)}: {now} cannot {after} in {scheme.upper()}"
    return None


def to_iob2(
    sentences: Sequence[Sequence[str]],
    where: Where,
    scheme: str = "auto",
    each: AbstractContextManager[Any] | None = None,
) -> list[list[str] | None]:
    """Convert the tags of sentences to IOB2.

    Args:
      sentences: per sentence, the tag of each word, all in one scheme.
      where: names a place in an error.
      scheme: "iob1", "iob2" or "iobes"; "auto" takes the one in which the most sentences have no tag that cannot follow
        the one before it.
      each: inside it every sentence is converted. If it swallows the error of one, there is None instead of its tags.

    Raises:
      InputError: a tag is malformed, or cannot follow the tag before it.
    """
    each, known, converted = each or nullcontext(), {}, [None] * len(sentences)
    for number, tags in enumerate(sentences):
        with each:
            for place, tag in enumerate(tags):
                try:
                    split_tag(tag)
                except InputError as error:
                    raise InputError(f"{where(number, place)}: {error}") from None
            known[number] = tags
    if scheme == "auto":
        prefixes = {split_tag(tag)[0] for tags in known.values() for tag in tags}
        tried = ("iobes",) if prefixes & {"E", "S"} else ("iob2", "iob1")
    else:
        tried = (scheme,)
    faults = {one: {n: what for n in known if (what := _first_fault(n, known[n], one, where))} for one in tried}
    best = min(tried, key=lambda one: len(faults[one]))
    others = [next(iter(faults[one].values())) for one in tried if one != best and faults[one]]
    for number, tags in known.items():
        with each:
            if number in faults[best]:
                raise InputError("; ".join([faults[best][number], *others, "correct the tags, or give their scheme"]))
            converted[number] = _from_iob1(tags) if best == "iob1" else _from_others(tags)
    return converted


def _from_others(tags: Sequence[str]) -> list[str]:
    return [{"E": "I", "S": "B"}.get(prefix, prefix) + (kind and f"-{kind}") for prefix, kind in map(split_tag, tags)]


def _from_iob1(tags: Sequence[str]) -> list[str]:
    """An I that begins an entity becomes B."""
    pairs = pairwise([OUTSIDE, *tags])
    return [f"B{now[1:]}" if now[0] == "I" and now[1:] != before[1:] else now for before, now in pairs]
