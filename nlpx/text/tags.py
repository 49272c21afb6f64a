"""Tags of words that spell entities, in the schemes IOB1, IOB2 and IOBES: checked, told apart, made one.

A tag is `O` (no entity) or PREFIX-TYPE. Inside this project all are IOB2: `B-x` begins an entity of type x, `I-x` goes
on with it. IOB1 (Ramshaw and Marcus 1995, arXiv cmp-lg/9505040) writes B only where an entity follows another of its
type at once, else I. IOBES marks the last word of an entity E, and one of a single word S; BILOU is the same with L, U.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from nlpx.errors import InputError

SCHEMES = ("iob1", "iob2", "iobes")
OUTSIDE = "O"

Entity = tuple[str, int, int]
"""Its type, the place of its first word, and that after its last."""
Where = Callable[[int, int], str]
"""Names the place of a word, as "t.conll, line 7", from the numbers of its sentence and of the word in it."""

_BILOU = {"L": "E", "U": "S"}
_PREFIXES = {"iob1": "BI", "iob2": "BI", "iobes": "BIES"}


def split_tag(tag: str) -> tuple[str, str]:
    """Prefix and type; "O" and "" for `O`. The L and U of BILOU come back as E and S.

    Raises:
      InputError: a tag of another form.
    """
    prefix, dash, kind = tag.partition("-")
    prefix = _BILOU.get(prefix, prefix)
    if tag != OUTSIDE and not (prefix in ("B", "I", "E", "S") and dash and kind):
        raise InputError(f"the tag {tag!r} is neither O nor PREFIX-TYPE, such as B-PER")
    return prefix, kind


def tags_of(types: Iterable[str]) -> tuple[str, ...]:
    """All tags of IOB2: O, then B and I of each type."""
    return (OUTSIDE, *(f"{prefix}-{kind}" for kind in types for prefix in "BI"))


def entities(tags: Sequence[str]) -> list[Entity]:
    """The entities of a sentence in IOB2. An I that goes on with nothing begins an entity, as conlleval reads it."""
    found: list[Entity] = []
    for place, (before, now) in enumerate(pairwise([OUTSIDE, *tags])):
        (_, kind_before), (prefix, kind) = split_tag(before), split_tag(now)
        if prefix == "I" and kind == kind_before:
            found[-1] = (*found[-1][:2], place + 1)
        elif kind:
            found.append((kind, place, place + 1))
    return found


def _fault(before: str, now: str, scheme: str) -> bool:
    """Whether a tag cannot follow another; O stands before and after a sentence."""
    (p, x), (q, y) = split_tag(before), split_tag(now)
    inside = bool(x) and x == y  # of one type, but for what the prefixes say
    if scheme == "iob1":
        return q == "B" and not inside
    if scheme == "iob2":
        return q == "I" and not inside
    goes_on = p in ("B", "I")
    return goes_on != (q in ("I", "E")) or (goes_on and not inside)


def _first_fault(sentences: Sequence[Sequence[str]], scheme: str, where: Where) -> str | None:
    for number, tags in enumerate(sentences):
        for place, (before, now) in enumerate(pairwise([OUTSIDE, *tags, OUTSIDE])):
            if place < len(tags) and split_tag(now)[0] not in ("O", *_PREFIXES[scheme]):
                return f"{where(number, place)}: {now} is no tag of {scheme.upper()}"
            if _fault(before, now, scheme):
                if place == len(tags):
                    return f"{where(number, place - 1)}: the sentence ends with {before}, in the middle of an entity"
                after = f"follow {before}" if place else "begin a sentence"
                return f"{where(number, place)}: {now} cannot {after} in {scheme.upper()}"
    return None


def to_iob2(sentences: Sequence[Sequence[str]], where: Where, scheme: str = "auto") -> list[list[str]]:
    """The tags of sentences in IOB2.

    Args:
      sentences: of each word of each sentence its tag, all in one scheme.
      where: names a place in an error.
      scheme: "iob1", "iob2" or "iobes"; "auto" takes the one in which every tag may follow the one before it.

    Raises:
      InputError: a tag is malformed, or cannot follow the one before it.
    """
    for number, tags in enumerate(sentences):
        for place, tag in enumerate(tags):
            try:
                split_tag(tag)
            except InputError as error:
                raise InputError(f"{where(number, place)}: {error}") from None
    if scheme == "auto":
        prefixes = {split_tag(tag)[0] for tags in sentences for tag in tags}
        tried = ("iobes",) if prefixes & {"E", "S"} else ("iob2", "iob1")
    else:
        tried = (scheme,)
    faults = [_first_fault(sentences, each, where) for each in tried]
    if None not in faults:
        raise InputError("; ".join(str(fault) for fault in faults) + "; correct the tags, or give their scheme")
    if tried[faults.index(None)] == "iob1":
        return [_begin(tags) for tags in sentences]
    return [[{"E": "I", "S": "B"}.get(p, p) + (x and f"-{x}") for p, x in map(split_tag, tags)] for tags in sentences]


def _begin(tags: Sequence[str]) -> list[str]:
    """From IOB1: an I that begins an entity becomes B."""
    pairs = pairwise([OUTSIDE, *tags])
    return [f"B{now[1:]}" if now[0] == "I" and now[1:] != before[1:] else now for before, now in pairs]
