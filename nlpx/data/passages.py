"""Questions and their contexts as columns of token ids: a row is a question, a separator, and a window of the context.

A row has the ragged columns `text` (token ids, the separator's own id between the two), `segment` (see `SEGMENTS`),
`begins` and `ends` (1 where an answer may begin or end: at the first and last token of a word, and at the separator,
which stands for "not in this window").
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
"""What a token belongs to. Whether a word occurs in the question is what a reader needs most (Chen 2017, arXiv
1704.00051, section 3.2), and what it would have to find out for each word anew."""


@dataclasses.dataclass(frozen=True)
class Words:
    """A text as words: where each begins and ends in it, in characters, its lower case, and its token ids."""

    spans: list[tuple[int, int]]
    plain: list[str]
    ids: list[np.ndarray]


@dataclasses.dataclass(frozen=True)
class Passages:
    """Windows of contexts, each beside its question.

    Attributes:
        columns: `text`, `segment`, `begins`, `ends`, an int32 array (t,) a window.
        question: the number of each window's question (windows,).
        words: for each window the number of the context's word that a token is of, -1 before the context (t,).
        spans: for each question where the words of its context begin and end, in characters.
        dropped: what -> how many questions it was done to.
    """

    columns: dict[str, list[np.ndarray]]
    question: Int32[np.ndarray, "windows"]
    words: list[np.ndarray]
    spans: list[list[tuple[int, int]]]
    dropped: dict[str, int]

    def targets(self, questions: Sequence[Question]) -> dict[str, np.ndarray]:
        """The places `start` and `end` (windows,), int32, of the first and last token of each question's first answer;
        both those of the separator in a window that does not have all of it."""
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
    """Makes passages of questions. Each word is encoded by itself, as after a space, so that it has the same ids
    wherever it stands.

    Args:
        tokenizer: makes ids of a word. The separator's id is the one after its last.
        max_length: most tokens of a row.
        question_length: most tokens of a question; the rest of it is cut.
        stride: tokens from the beginning of one window of a context to that of the next, at most a window; None: half
            a window.
        lowercase: whether words are read in lower case. What is cut from the context is as it stands there.

    Raises:
        InputError: a question may leave less than half of a row to its context.
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
        self.separator = tokenizer.vocab_size
        self._tokenizer, self._lowercase = tokenizer, lowercase
        self._max_length, self._question_length, self._stride = max_length, question_length, stride
        self._ids: dict[str, np.ndarray] = {}
        self._texts: dict[str, Words] = {}

    def words(self, text: str) -> Words:
        """The words of a text.

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
        """The windows of each question's context, in order.

        Args:
            windows: whether a context that is longer than a row is read in windows; if not, its question is left out.

        Raises:
            InputError: no question is left; one has no words, or its context has none; as `words`.
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
    """The columns of a whole context, and `word`, the number of each token's word."""
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
