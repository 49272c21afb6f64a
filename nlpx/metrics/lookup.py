"""The baseline of entity recognition: looking up the names seen in training."""

import collections
from collections.abc import Sequence

from nlpx.text import OUTSIDE, entities


def lookup_tags(
    train: Sequence[tuple[Sequence[str], Sequence[str]]], sentences: Sequence[Sequence[str]]
) -> list[list[str]]:
    """Tag sentences in IOB2 by CoNLL-2003's baseline (Tjong Kim Sang and De Meulder 2003, arXiv cs/0306050): a phrase
    that is an entity in training is one of the same type everywhere.

    Phrases that are entities of several types in training are left out. Sentences are read from left to right, and the
    longest matching phrase wins.

    Args:
      train: the words and the tags of each training sentence.
      sentences: the words of each sentence to tag.
    """
    kinds: dict[tuple[str, ...], set[str]] = collections.defaultdict(set)
    for words, tags in train:
        for kind, first, after in entities(tags):
            kinds[tuple(words[first:after])].add(kind)
    known = {phrase: min(each) for phrase, each in kinds.items() if len(each) == 1}
    longest = max(map(len, known), default=0)
    found = []
    for words in sentences:
        tags: list[str] = []
        while (place := len(tags)) < len(words):
            phrases = (tuple(words[place : place + size]) for size in range(longest, 0, -1))
            phrase = next((each for each in phrases if each in known), None)
            tags += [f"{'I' if at else 'B'}-{known[phrase]}" for at in range(len(phrase))] if phrase else [OUTSIDE]
        found.append(tags)
    return found
