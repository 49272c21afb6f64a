"""A claim: statements, the experiment that decides them, and its findings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from nlpx.claims.exhibits import Exhibit

Results = Sequence[Mapping[str, Any]]
"""What `measure` returned for each seed, as JSON values: tuples and arrays are lists, and all keys are strings."""


class Verdict(StrEnum):
    """What a run says about a statement."""

    HOLDS = "holds"
    ONLY_WHEN = "holds only when"
    DOES_NOT = "does not hold here"
    UNDECIDED = "not decided"
    NOT_MEASURED = "not measured"

    @classmethod
    def of(cls, answer: bool | None) -> "Verdict":
        """Return the verdict of yes, no, or None: the interval contains the threshold."""
        return {True: cls.HOLDS, False: cls.DOES_NOT, None: cls.UNDECIDED}[answer]


@dataclass(frozen=True)
class Finding:
    """What was found about one statement.

    Attributes:
      statement: its number.
      figure: the numbers that decide, with units, without a full stop: "0 of 66 pairs have a gradient".
      meaning: a sentence that says what the figure shows; for NOT_MEASURED the reason.
      condition: completes "holds only when".
    """

    statement: int
    verdict: Verdict
    figure: str
    meaning: str
    condition: str = ""

    def __post_init__(self):
        if (self.verdict == Verdict.ONLY_WHEN) != bool(self.condition):
            raise ValueError(f"statement {self.statement}: a condition goes with 'holds only when', and with it alone")

    @property
    def told(self) -> str:
        """The figure and what it means."""
        return f"{self.figure}. {self.meaning}" if self.figure else self.meaning

    @property
    def words(self) -> str:
        """The verdict with its condition."""
        return f"{self.verdict} {self.condition}".strip()


@dataclass(frozen=True)
class Claim:
    """Statements, and how they are decided.

    Attributes:
      title: of its section of the page.
      statements: their numbers. No other claim has them.
      kind: "exact", asserted for any weights; "statistical", decided by an interval over seeds; "timed", by ratios of
        one run on one machine.
      method: what is measured.
      decides: why that decides the statements, with the threshold, which is fixed before the run.
      full, quick: settings, as frozen dataclasses of JSON values; `quick` is for `--quick`, None: the same.
      functions: measure(settings, seed, workdir) returns the figures of one seed, which are kept and not measured
        again; trainings go below the workdir. conclude(results of all seeds) returns one finding per statement.
        exhibit(results of all seeds) returns plots, tables and attention maps.
      seeds: how many seeds. Exact and timed claims have one, and so has every claim with `--quick`, where a statistical
        one is not decided.
      published: the same figure elsewhere, and where.
    """

    title: str
    statements: tuple[int, ...]
    kind: Literal["exact", "statistical", "timed"]
    method: str
    decides: str
    full: Any
    functions: tuple[
        Callable[[Any, int, Path], Mapping[str, Any]],
        Callable[[Results], Sequence[Finding]],
        Callable[[Results], Sequence[Exhibit]],
    ]
    quick: Any = None
    seeds: int = 1
    published: str = ""

    def __post_init__(self):
        if self.kind == "statistical" and self.seeds < 2:
            raise ValueError(f"{self.title}: an interval needs at least two seeds")

    def how_many_seeds(self, quick: bool, wanted: int | None) -> int:
        """Return the number of seeds to measure; `wanted` counts for statistical claims alone."""
        own = 1 if quick else self.seeds
        return wanted if wanted and self.kind == "statistical" else own
