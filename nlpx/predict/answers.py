"""Answering questions with a reader: the likeliest span over all windows of the context."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nlpx import data, metrics, plots
from nlpx.errors import InputError
from nlpx.models import Reader
from nlpx.predict.batches import in_batches
from nlpx.tasks.question_answering import place_log_probabilities
from nlpx.train.run import Trained

SEPARATOR = "|||"
"""Separates context and question on one line, where there is no tab."""


class Answered(NamedTuple):
    """The answer to one question."""

    text: str
    """The answer as it stands in the context."""
    start: int
    """The character of the context where the answer begins."""
    probability: float
    """The probability of its begin times that of its end, in the window where this product is largest."""

    def mark(self, context: str) -> str:
        """Return the context with the answer in brackets."""
        end = self.start + len(self.text)
        return f"{context[: self.start]}[[{self.text}]]{context[end:]}"


class Places(NamedTuple):
    """The log-probabilities of the words of one window."""

    words: range
    """The numbers of the context's words in the window."""
    start: np.ndarray
    """(words,): log-probability, in nats, that the answer begins with this word."""
    end: np.ndarray
    """(words,): log-probability, in nats, that the answer ends with this word."""


class Answerer:
    """Answers questions. One program is compiled for each length that windows are padded to.

    Args:
      trained: a run of `experiments.answer`.
      longest: most words in an answer.
      batch_size: windows per batch.

    Raises:
      ValueError: the model is not a reader.
    """

    def __init__(self, trained: Trained, *, longest: int = 20, batch_size: int = 64):
        model, settings = trained.model, trained.config["data"]
        if not isinstance(model, Reader):
            raise InputError(f"a {type(model).__name__} answers no questions: give a run of experiments.answer")
        self._trained, self.longest, self._batch_size = trained, longest, batch_size
        options = ("max_length", "question_length", "stride", "lowercase")
        self.encode = data.PassageEncoder(trained.tokenizer, **{name: settings[name] for name in options})

        def run(params, batch):
            logits = model.apply({"params": params}, batch["text"], batch["segment"], mask=batch["text_mask"])
            return tuple(
                place_log_probabilities(each, batch[name] > 0)
                for each, name in zip(logits, ("begins", "ends"), strict=True)
            )

        self._run = jax.jit(run)

    def places(self, questions: Sequence[data.Question]) -> list[list[Places]]:
        """Return, for each question, the windows of its context with the log-probabilities of their words.

        Raises:
          ValueError: a question or a context without words, or characters that the model does not know.
        """
        passages = self.encode(questions)

        def run(batch: data.Batch) -> list[tuple[np.ndarray, np.ndarray]]:
            return list(zip(*map(np.asarray, self._run(self._trained.params, batch)), strict=True))

        found: list[list[Places]] = [[] for _ in questions]
        rows = in_batches(passages.columns, run, self._batch_size)
        for row, (start, end) in enumerate(rows):
            words = passages.words[row]
            numbers = range(words[words >= 0][0], words[-1] + 1)
            start, end = (
                np.array([log_p[at] for at in self._by_word(words, passages.columns[name][row], numbers)], np.float64)
                for log_p, name in ((np.append(start, -1e9), "begins"), (np.append(end, -1e9), "ends"))
            )
            found[passages.question[row]].append(Places(numbers, start, end))
        return found

    @staticmethod
    def _by_word(words: np.ndarray, allowed: np.ndarray, numbers: range) -> np.ndarray:
        """Return the token where each word begins or ends; -1 if the window's edge cuts it off."""
        at = np.full(len(numbers), -1)
        places = np.flatnonzero(allowed * (words >= 0))
        at[words[places] - numbers.start] = places
        return at

    def answer(self, questions: Sequence[data.Question]) -> list[Answered]:
        """Return the likeliest answer to each question."""
        answered = []
        for question, windows in zip(questions, self.places(questions), strict=True):
            best = max((self._best(window) for window in windows), key=lambda each: each[0])
            spans = self.encode.words(question.context).spans
            start, end = spans[best[1]][0], spans[best[2]][1]
            answered.append(Answered(question.context[start:end], start, float(np.exp(best[0]))))
        return answered

    def _best(self, window: Places) -> tuple[float, int, int]:
        """Return the highest log-probability of a span of at most `longest` words, and its first and last word."""
        joint = window.start[:, None] + window.end
        legal = np.tri(*joint.shape, k=self.longest - 1, dtype=bool) & ~np.tri(*joint.shape, k=-1, dtype=bool)
        first, last = np.unravel_index(np.where(legal, joint, -np.inf).argmax(), joint.shape)
        return float(joint[first, last]), window.words[first], window.words[last]

    def __call__(self, lines: Sequence[str]) -> list[tuple[Answered, str]]:
        """Answer lines of a context and a question each.

        Returns:
          The answer and the context of each line.

        Raises:
          ValueError: a line without a question, or as in `places`.
        """
        questions = [parse_question(line) for line in lines]
        return list(zip(self.answer(questions), [each.context for each in questions], strict=True))

    def draw(self, question: data.Question, path: Path) -> None:
        """Draw the probabilities that the answer begins and ends at each word of its window, and write a PNG."""
        (windows,) = self.places([question])
        window = max(windows, key=lambda each: self._best(each)[0])
        spans = self.encode.words(question.context).spans
        words = [question.context[slice(*spans[number])] for number in window.words]
        plots.plot_places(np.exp(window.start), np.exp(window.end), words, path, title=question.question)


def parse_question(line: str) -> data.Question:
    """Parse a line "CONTEXT ||| QUESTION", or with a tab in place of "|||".

    Raises:
      ValueError: the line has another form.
    """
    context, found, question = line.partition("\t" if "\t" in line else SEPARATOR)
    if not found or not context.strip() or not question.strip():
        raise InputError(
            f"no context and question in {line[:40]!r}: write CONTEXT {SEPARATOR} QUESTION, or a tab between them"
        )
    return data.Question(context.strip(), question.strip(), (), "", "")


def test_answers(answerer: Answerer, questions: Sequence[data.Question], folder: Path) -> dict[str, Any]:
    """Answer questions not seen in training, and compare with people's answers.

    Writes `answers.tsv`; `predictions.json` if the questions have ids (id -> answer, for SQuAD's own script);
    `plots/f1_by_length.png`; and `plots/probabilities.png`, for the first question.

    Returns:
      The figures of `metrics.answer_metrics`, with groups by words of the context; those of the sliding window as
      `baseline`; and `seconds`.
    """
    start = time.perf_counter()
    answered = answerer.answer(questions)
    seconds = time.perf_counter() - start
    truths = [[text for text, _ in each.answers] for each in questions]
    lengths = [len(answerer.encode.words(each.context).spans) for each in questions]
    texts = [each.text for each in answered]
    rows = [
        (each.question, truth[0], text, f"{found.probability:.4f}")
        for each, truth, text, found in zip(questions, truths, texts, answered, strict=True)
    ]
    lines = ["\t".join(" ".join(value.split()) for value in row) for row in rows]
    (folder / "answers.tsv").write_text(
        "\n".join(["question\ttrue\tanswer\tprobability", *lines, ""]), encoding="utf-8"
    )
    if all(each.id for each in questions):
        by_id = {each.id: text for each, text in zip(questions, texts, strict=True)}
        (folder / "predictions.json").write_text(json.dumps(by_id, ensure_ascii=False), encoding="utf-8")
    guessed = [
        metrics.sliding_window_answer(each.context, each.question, longest=answerer.longest) for each in questions
    ]
    test = metrics.answer_metrics(texts, truths, lengths)
    baseline = metrics.answer_metrics(guessed, truths, lengths)
    groups = {"reader": test["by_length"], "sliding window": baseline["by_length"]}
    path, length = folder / "plots" / "f1_by_length.png", "context length (words, mean of each group)"
    plots.plot_by_length(groups, path, "f1", length=length, title=f"Answers to {len(questions):,} unseen questions")
    answerer.draw(questions[0], folder / "plots" / "probabilities.png")
    return {**test, "baseline": baseline, "seconds": seconds}
