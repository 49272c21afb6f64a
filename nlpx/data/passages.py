"""Questions and contexts as columns of token ids: a row is a question, a separator, and a window of the context.

The ragged columns are `text` (token ids, with one for the separator), `segment` (an index into `SEGMENTS`), `begins`
and `ends` (1 where an answer may begin or end: at the first or the last token of a word, and at the separator, which
stands for "not in this window").
"""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int32

from nlpx.data.question_files import Question
from nlpx.errors import InputError
from nlpx.text import Tokenizer, lower, word_spans

SEGMENTS = ("question", "context", "context, a word of the question")
"""The kinds of tokens. Whether a word occurs in the question is the most useful feature of all (Chen 2017, arXiv
1704.00051, section 3.2), and hard for a reader to compute for each word."""


@dataclasses.dataclass(frozen=True)
class Words:
    """The words of a text: for each its span in characters, its lower case, and its token ids."""

    spans: list[tuple[int, int]]
    plain: list[str]
    ids: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Passages:
    """Windows of contexts, each beside its question.

    Attributes:
      columns: `text`, `segment`, `begins`, `ends`, each with an int32 array (t,) per window.
      question: (windows,), the index of each window's question.
      words: for each window (t,), the index of each token's word in the context, -1 before the context.
      spans: for each question, the spans of the words of its context, in characters.
      dropped: what was done (left out, cut, read in windows) -> to how many questions.
    """

    columns: dict[str, list[np.ndarray]]
    question: Int32[np.ndarray, " windows"]
    words: list[np.ndarray]
    spans: list[list[tuple[int, int]]]
    dropped: dict[str, int]

    def targets(self, questions: Sequence[Question]) -> dict[str, np.ndarray]:
        """Return the places `start` and `end` (windows,), int32, of the first and last token of each question's first
        answer; in a window without the whole answer, both are the place of the separator."""
        found = {"start": [], "end": []}
        for number, words, begins, ends in zip(
            self.question, self.words, self.columns["begins"], self.columns["ends"], strict=True
        ):
            text, at = questions[number].answers[0]
            touched = [
                word for word, (begin, end) in enumerate(self.spans[number]) if begin < at + len(text) and end > at
            ]
            first = np.flatnonzero((words == touched[0]) & (begins > 0)) if touched else ()
            last = np.flatnonzero((words == touched[-1]) & (ends > 0)) if touched else ()
            separator = int(np.argmax(begins))
            both = len(first) and len(last)
            found["start"].append(first[0] if both else separator)
            found["end"].append(last[0] if both else separator)
        return {name: np.array(places, np.int32) for name, places in found.items()}


class PassageEncoder:
    """Makes passages from questions. Each word is encoded by itself, as after a space, so that its ids are the same
    everywhere.

    Args:
      tokenizer: turns a word into ids. The separator is its `[SEP]`, or else the id after its last.
      max_length: most tokens in a row.
      question_length: most tokens in a question; the rest is cut.
      stride: tokens from the start of one window to the start of the next, at most a window; None means half a window.
      lowercase: whether words are read in lower case. Answers are still cut from the context as it stands.

    Raises:
      InputError: questions could leave less than half of a row to their contexts.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_length: int,
        question_length: int,
        stride: int | None = None,
        lowercase: bool = False,
    ):
        if 2 * (question_length + 1) > max_length:
            raise InputError(
                f"a question_length of {question_length} leaves less than half of the max_length {max_length} to the "
                "context: lower the one or raise the other"
            )
        self.separator = tokenizer.special.get("[SEP]", tokenizer.vocab_size)
        self._tokenizer, self._lowercase = tokenizer, lowercase
        self._max_length, self._question_length, self._stride = max_length, question_length, stride
        self._ids: dict[str, np.ndarray] = {}
        self._texts: dict[str, Words] = {}

    def words(self, text: str) -> Words:
        """Split a text into words and encode them; results are cached.

        Raises:
          InputError: characters that the tokenizer does not know.
        """
        if text not in self._texts:
            read, spans = lower(text) if self._lowercase else text, word_spans(text)
            self._texts[text] = Words(
                spans, [text[a:b].lower() for a, b in spans], [self._word(read[a:b]) for a, b in spans]
            )
        return self._texts[text]

    def _word(self, word: str) -> np.ndarray:
        if word not in self._ids:
            self._ids[word] = self._tokenizer.encode(f" {word}")
        return self._ids[word]

    def __call__(self, questions: Sequence[Question], *, windows: bool = True) -> Passages:
        """Make the windows of each question's context, in order.

        Args:
          windows: whether a context that does not fit into a row is read in windows; if not, its question is left out.

        Raises:
          InputError: no question is left; a question or a context has no words; or as in `words`.
        """
        columns: dict[str, list[np.ndarray]] = {"text": [], "segment": [], "begins": [], "ends": []}
        numbers, words_of, spans, counts = [], [], [], collections.Counter()
        for number, each in enumerate(questions):
            asked, context = self.words(each.question), self.words(each.context)
            spans.append(context.spans)
            if not asked.ids or not context.ids:
                what = "question" if context.ids else "context"
                raise InputError(f"the {what} {getattr(each, what)!r} has no words: give some")
            question = np.concatenate(asked.ids)
            if len(question) > self._question_length:
                counts[f"question cut to {self._question_length} tokens"] += 1
                question = question[: self._question_length]
            room = self._max_length - len(question) - 1
            row = _of_tokens(context, set(asked.plain))
            length = len(row["text"])
            if length > room:
                counts[f"context {'read in windows' if windows else 'left out'}: over {self._max_length} tokens"] += 1
                if not windows:
                    continue
            stride = min(self._stride or max(room // 2, 1), room)
            for start in range(0, max(length - room, 0) + stride, stride):
                window = {name: values[start : start + room] for name, values in row.items()}
                words_of.append(np.concatenate([np.full(len(question) + 1, -1), window.pop("word")]).astype(np.int32))
                numbers.append(number)
                nothing = np.zeros(len(question), np.int32)
                before = {
                    "text": [*question, self.separator],
                    "segment": [*nothing, 0],
                    "begins": [*nothing, 1],
                    "ends": [*nothing, 1],
                }
                for name, values in window.items():
                    columns[name].append(np.concatenate([before[name], values]).astype(np.int32))
        if not numbers:
            raise InputError(f"no question is left ({dict(counts)}): raise max_length, or read contexts in windows")
        return Passages(columns, np.array(numbers, np.int32), words_of, spans, dict(counts))


def _of_tokens(context: Words, asked: set[str]) -> dict[str, np.ndarray]:
    """Return the columns of a whole context, and `word`, the index of each token's word."""
    lengths = np.array([len(ids) for ids in context.ids])
    shared = np.array([word in asked for word in context.plain])
    ends = np.cumsum(lengths)
    begins_at, ends_at = np.zeros(ends[-1], np.int32), np.zeros(ends[-1], np.int32)
    begins_at[ends - lengths], ends_at[ends - 1] = 1, 1
    return {
        "text": np.concatenate(context.ids),
        "segment": np.repeat(1 + shared, lengths),
        "begins": begins_at,
        "ends": ends_at,
        "word": np.repeat(np.arange(len(lengths)), lengths),
    }
