"""Questions from a file: SQuAD's JSON (Rajpurkar 2016, arXiv 1606.05250), or one JSON object per line; .gz too."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from nlpx.data import text_files, tfds_text
from nlpx.data.corrupt import GAP, corrupt_records
from nlpx.errors import InputError
from nlpx.json_files import excerpt, parse_json


class Question(NamedTuple):
    """A question about a context."""

    context: str
    question: str
    answers: tuple[tuple[str, int], ...]
    """People's answers, each with the character of the context where it begins."""
    group: str
    """The article that the context belongs to, if known. Groups are held out as a whole."""
    id: str


def read(argument: str) -> tuple[list[Question], dict[str, int]]:
    """Read the questions of a file, and count those left out, by reason.

    A name that ends in .jsonl or .ndjson means one object per line, with `context`, `question` and `answers`: a text, a
    list of texts, or {"text": [...], "answer_start": [...]}; `title` and `id` are optional. Any other name means
    SQuAD's JSON: `data`, a list of articles with `paragraphs` with `qas`.

    If an answer is not where the file says, the nearest place where it occurs counts; if the file does not say, the
    first. Questions without an answer ("no answer", as in SQuAD 2.0) or without one in the context ("answer not in its
    context") are left out.

    Raises:
      InputError: the file cannot be read, has another form, or holds no usable question.
    """
    if "," in argument:
        raise InputError(f"file:{argument} names several files; give one, as file:PATH.json")
    content = text_files.read(argument, GAP)
    lined = argument.lower().removesuffix(".gz").endswith((".jsonl", ".ndjson"))
    rows = _lines(argument, content) if lined else _squad(argument, content)
    return usable(f"file:{argument}", rows)


def read_tfds(argument: str) -> dict[str, list[Question]]:
    """Read the questions of a TFDS set, by split. It must have the features `context`, `question` and `answers` (with
    `text` and `answer_start`), like squad/v1.1.

    Raises:
      InputError: as in `tfds_text.read`, or the set lacks one of these features.
    """
    names: list[str] = []

    def choose(builder: Any) -> tuple[str, ...]:
        there = set(builder.info.features)
        if lacking := sorted({"context", "question", "answers"} - there):
            raise InputError(f"tfds:{argument} has no feature {lacking[0]!r}; choose a set like squad/v1.1")
        names[:] = ["context", "question", "answers", *(name for name in ("title", "id") if name in there)]
        return tuple(names)

    def convert(value: Any) -> Any:
        if not isinstance(value, dict):
            return tfds_text.as_text(value)
        return tuple(zip(map(tfds_text.as_text, value["text"]), map(int, value["answer_start"]), strict=True))

    def question(about: dict[str, Any]) -> Question:
        group, name = about.get("title", about["context"]), about.get("id", "")
        return Question(about["context"], about["question"], about["answers"], group, name)

    splits = tfds_text.read(argument, choose, convert)
    return {split: [question(dict(zip(names, row, strict=True))) for row in rows] for split, rows in splits.items()}


def usable(name: str, rows: Sequence[Question]) -> tuple[list[Question], dict[str, int]]:
    """Keep the questions with an answer in their context, and correct the place of each answer.

    Returns:
      The questions kept, with their most frequent answer first, and the counts of those left out, by reason.

    Raises:
      InputError: none is left.
    """
    found, dropped = [], {"no answer": 0, "answer not in its context": 0}
    for row in rows:
        answers = {
            (text.strip(), at)
            for text, start in row.answers
            if text.strip() and (at := _place(row.context, text.strip(), start)) >= 0
        }
        if answers:
            ordered = sorted(answers, key=lambda each: (-sum(text == each[0] for text, _ in row.answers), each[1]))
            found.append(row._replace(answers=tuple(ordered)))
        else:
            dropped["answer not in its context" if any(text.strip() for text, _ in row.answers) else "no answer"] += 1
    dropped = {why: count for why, count in dropped.items() if count}
    if not found:
        reasons = ", ".join(f"{count} {why}" for why, count in dropped.items()) or "it is empty"
        raise InputError(f"{name} holds no question with an answer in its context ({reasons}); give another")
    return found, dropped


def _place(context: str, answer: str, start: int) -> int:
    """Find the place of an answer in its context that is nearest to `start`; -1 if there is none."""
    if context.startswith(answer, max(start, 0)):
        return max(start, 0)
    places, at = [], context.find(answer)
    while at >= 0:
        places.append(at)
        at = context.find(answer, at + 1)
    return min(places, key=lambda place: abs(place - start), default=-1)


def _squad(path: str, content: str) -> list[Question]:
    try:
        payload = parse_json(content)
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({error}); give SQuAD's JSON, or name it .jsonl") from error
    place, found = "the top", []

    @contextlib.contextmanager
    def form() -> Iterator[None]:
        try:
            yield
        except ValueError as error:
            raise InputError(
                f'{path} is not SQuAD\'s JSON, at {place}: {error}; give {{"data": [{{"title", "paragraphs": '
                '[{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}'
            ) from error

    def listed(about: Any, name: str) -> list[Any]:
        with form():
            return _get(about, name, list)

    for a, article in enumerate(listed(payload, "data")):
        place = f"data[{a}]"
        for p, paragraph in enumerate(listed(article, "paragraphs")):
            place = f"data[{a}].paragraphs[{p}]"
            for q, asked in enumerate(listed(paragraph, "qas")):
                place = f"data[{a}].paragraphs[{p}].qas[{q}]"
                with corrupt_records(), form():
                    answers = _get(asked, "answers", list)
                    pairs = tuple((_get(each, "text", str), _get(each, "answer_start", int, 0)) for each in answers)
                    found.append(_question(paragraph, asked, pairs, str(article.get("title", a))))
    return found


def _lines(path: str, content: str) -> list[Question]:
    found = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip() or line == GAP:
            continue
        with corrupt_records():
            try:
                found.append(_of_line(parse_json(line)))
            except ValueError as error:
                raise InputError(
                    f'{path}, line {number}: {error}; give {{"context": ..., "question": ..., "answers": [...]}}'
                ) from error
    return found


def _of_line(row: Any) -> Question:
    answers = _get(row, "answers", str | list | dict)
    if isinstance(answers, dict):
        texts = _get(answers, "text", list)
    else:
        texts, answers = [answers] if isinstance(answers, str) else answers, {}
    starts = _get(answers, "answer_start", list, [0] * len(texts))
    pairs = tuple(zip(texts, starts, strict=True))
    if not all(isinstance(text, str) and isinstance(at, int) for text, at in pairs):
        raise ValueError("answers are not texts, or do not start at whole numbers")
    return _question(row, row, pairs, str(row.get("title", row.get("context"))))


def _question(
    paragraph: dict[str, Any], asked: dict[str, Any], answers: tuple[tuple[str, int], ...], group: str
) -> Question:
    context, question = _get(paragraph, "context", str), _get(asked, "question", str)
    if not context.strip() or not question.strip():
        raise ValueError(f"the {'question' if context.strip() else 'context'} has no words")
    text_files.refuse_half_characters(context, question, group, *(text for text, _ in answers))
    return Question(context, question, answers, group, str(asked.get("id", "")))


def _get(about: Any, name: str, kind: Any, default: Any = None) -> Any:
    """Return a value of a JSON object.

    Raises:
      ValueError: the value is missing without a default, or is not of this kind.
    """
    if isinstance(about, dict) and name not in about and default is not None:
        return default
    if not isinstance(about, dict) or name not in about:
        raise ValueError(f"no {name!r}")
    if not isinstance(about[name], kind):
        raise ValueError(f"{name!r} is {excerpt(about[name])}")
    return about[name]
