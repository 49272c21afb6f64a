"""A baseline of translation: the translation of the training sentence that looks most alike."""

from collections.abc import Sequence


def most_alike(train: Sequence[tuple[str, str]], sources: Sequence[str], block: int = 500) -> list[str]:
    """Return the target of the training pair whose source shares most character n-grams with each source.

    Args:
      train: sources and targets.
      sources: what is to be translated.
      block: how many of them are compared at once.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4))
    known = grams.fit_transform([source for source, _ in train]).T.tocsc()
    asked, found = grams.transform(list(sources)), []
    for begin in range(0, len(sources), block):
        likeness = (asked[begin : begin + block] @ known).toarray()
        found += [train[place][1] for place in likeness.argmax(axis=1)]
    return found
