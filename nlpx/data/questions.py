"""Questions about contexts from one SPEC, in three parts: training, validation and test."""

import collections
import dataclasses
import hashlib
import json

from nlpx.data import facts, question_files
from nlpx.data.pairs import own_parts
from nlpx.data.question_files import Question
from nlpx.errors import InputError, unknown_source
from nlpx.text import lower, word_spans

_HELD_OUT = 0.1


@dataclasses.dataclass(frozen=True)
class QuestionData:
    """Questions whose answers are in their contexts. No context of validation or test is in training.

    Attributes:
      train, validation, test: the questions of each part.
      name: the SPEC they came from; those of validation and test, if given, after it.
      sha256: hexadecimal digest of all questions, to tell two runs on different data apart.
      dropped: why -> how many were left out, such as {"answer not in its context": 3}.
    """

    train: list[Question]
    validation: list[Question]
    test: list[Question]
    name: str
    sha256: str
    dropped: dict[str, int]

    def joined(self, *parts: str, lowercase: bool = False) -> str:
        """Return all contexts, once each, and all questions of these parts, one per line; spaces separate words and
        punctuation marks."""
        asked = [each for part in parts for each in getattr(self, part)]
        texts = dict.fromkeys([*(each.context for each in asked), *(each.question for each in asked)])
        lines = (" ".join(text[a:b] for a, b in word_spans(text)) for text in texts)
        return "\n".join(lower(line) if lowercase else line for line in lines)


def load_questions(spec: str, *, valid: str | None = None, test: str | None = None, seed: int = 0) -> QuestionData:
    """Read or make questions.

    Parts that the source lacks are held out of its training questions: whole articles (whole contexts, if there is only
    one article), chosen by a hash of their names, until they hold 10 % of the questions. Training questions whose
    context is in a given validation or test part are left out and counted ("in validation", "in test").

    Args:
      spec: `cldr-facts` (made, nothing to download), `file:PATH` (see `question_files.read`), or `tfds:NAME[/CONFIG]`
        with the set's own splits (see `question_files.read_tfds`).
      valid, test: `file:` as above; takes the place of the source's own part.
      seed: for the questions that are made; those that are read do not depend on it.

    Raises:
      InputError: the source is unknown or cannot be read, or a part would be empty.
    """
    parts, dropped = _load(spec, seed)
    name = spec
    for part, given in (("validation", valid), ("test", test)):
        if given is not None:
            parts[part], reasons = _read(part, given)
            dropped |= {f"{why}, {part}": count for why, count in reasons.items()}
            name += f", {part} {given}"
    wanted = max(1, round(_HELD_OUT * len(parts["train"])))
    # First the parts that are given: what is held out for the other must not be in them.
    for part in sorted(("test", "validation"), key=lambda part: part not in parts):
        train = parts["train"]
        if part in parts:
            contexts = {each.context for each in parts[part]}
            parts["train"] = [each for each in train if each.context not in contexts]
            dropped[f"in {part}"] = len(train) - len(parts["train"])
        else:
            parts[part], parts["train"] = _hold_out(train, wanted)
        if not parts["train"] or not parts[part]:
            raise InputError(
                f"{name} leaves no question for {'training' if parts[part] else part}: a context is in one part alone; "
                "give more contexts, or files for valid and test"
            )
    counted = {why: count for why, count in dropped.items() if count}
    return QuestionData(**parts, name=name, sha256=_digest(parts), dropped=counted)


def read_questions(spec: str) -> tuple[list[Question], dict[str, int]]:
    """Read the questions of a `file:` SPEC, to measure a model on, and count those left out, by reason.

    Raises:
      InputError: as in `load_questions`.
    """
    return _read("test", spec)


def _read(part: str, spec: str) -> tuple[list[Question], dict[str, int]]:
    if not spec.startswith("file:"):
        raise InputError(f"the {part} questions {spec} are no file; write file:PATH.json or file:PATH.jsonl")
    return question_files.read(spec.removeprefix("file:"))


def _load(spec: str, seed: int) -> tuple[dict[str, list[Question]], dict[str, int]]:
    source, _, argument = spec.partition(":")
    if source == "cldr-facts":
        if argument:
            raise InputError(f"cldr-facts takes no argument, but {spec} gives {argument!r}; write cldr-facts")
        made = zip(("train", "validation", "test"), facts.make(seed), strict=True)
        return {
            part: [
                Question(each.context, each.question, ((each.answer, each.start),), each.subject, f"{part}-{number}")
                for number, each in enumerate(asked)
            ]
            for part, asked in made
        }, {}
    if source == "file":
        found, dropped = question_files.read(argument)
        return {"train": found}, dropped
    if source == "tfds":
        parts, counts = {}, collections.Counter()
        for part, rows in own_parts(question_files.read_tfds(argument)).items():
            parts[part], dropped = question_files.usable(f"{spec}, {part}", rows)
            counts.update(dropped)
        return parts, dict(counts)
    raise unknown_source("source of questions", spec, ("cldr-facts", "file", "tfds"))


def _hold_out(questions: list[Question], wanted: int) -> tuple[list[Question], list[Question]]:
    one = len({each.group for each in questions}) == 1
    of = [each.context if one else each.group for each in questions]
    ordered = sorted(set(of), key=lambda group: hashlib.sha256(group.encode()).digest())
    counts, held, amount = collections.Counter(of), set(), 0
    for group in ordered:
        if amount >= wanted:
            break
        held.add(group)
        amount += counts[group]
    pairs = list(zip(questions, of, strict=True))
    return [each for each, group in pairs if group in held], [each for each, group in pairs if group not in held]


def _digest(parts: dict[str, list[Question]]) -> str:
    found = hashlib.sha256()
    for part in ("train", "validation", "test"):
        for each in parts[part]:
            found.update(json.dumps(each[:3]).encode())
        found.update(b"\n")
    return found.hexdigest()
