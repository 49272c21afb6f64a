"""The page of all statements: one file of HTML, which needs neither a network nor a server."""

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpx.claims.claim import Finding, Verdict
from nlpx.claims.exhibits import AttentionMap, Plot, Table
from nlpx.claims.measure import Outcome
from nlpx.claims.svg import to_svg
from nlpx.errors import InputError, needs

HERE = Path(__file__).parent
SIGNS = {
    Verdict.HOLDS: "✓",
    Verdict.ONLY_WHEN: "◐",
    Verdict.DOES_NOT: "✗",
    Verdict.UNDECIDED: "?",
    Verdict.NOT_MEASURED: "–",
}
"""Verdicts differ by more than their colour."""


@dataclass(frozen=True)
class Story:
    """What is claimed, and what was found.

    Attributes:
      chapters: the statements of each chapter, by number.
      outcomes: of the claims.
      waiting: why a statement that no claim has is not measured.
      command: carries out all claims.
    """

    title: str
    chapters: Mapping[str, Mapping[int, str]]
    outcomes: Sequence[Outcome]
    waiting: str
    command: str

    @property
    def statements(self) -> dict[int, str]:
        return {number: text for chapter in self.chapters.values() for number, text in chapter.items()}

    @property
    def findings(self) -> dict[int, tuple[Finding, Outcome | None]]:
        """The finding on every statement, and where it comes from."""
        found = {finding.statement: (finding, outcome) for outcome in self.outcomes for finding in outcome.findings}
        none = {n: (Finding(n, Verdict.NOT_MEASURED, "", self.waiting), None) for n in self.statements}
        return {n: found.get(n, none[n]) for n in self.statements}

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many statements have each verdict."""
        counted = Counter(finding.verdict for finding, _ in self.findings.values())
        return {verdict: counted[verdict] for verdict in Verdict if counted[verdict]}

    def by_chapter(self) -> Iterator[tuple[str, list[Outcome]]]:
        """Yield the chapters that have claims, each claim where its first statement stands."""
        for chapter, texts in self.chapters.items():
            own = [outcome for outcome in self.outcomes if min(outcome.claim.statements) in texts]
            if own:
                yield chapter, sorted(own, key=lambda outcome: min(outcome.claim.statements))

    @property
    def quick(self) -> bool:
        """Whether a figure comes from quick settings."""
        return any(outcome.quick for outcome in self.outcomes)


def _kind(exhibit: Any) -> str:
    return {Plot: "plot", Table: "table", AttentionMap: "map"}[type(exhibit)]


def where(record: Mapping[str, Any]) -> str:
    cores = f"{record['cores']} core{'s' if record['cores'] > 1 else ''}"
    return f"{record['device']}, {cores}, {record['date']}, commit {record['commit']}"


def write_page(story: Story, folder: Path, sources: Mapping[str, Path]) -> Path:
    """Write index.html into a folder, which is made; return its path.

    Args:
      sources: the file of each claim, by its name; the page links to it.

    Raises:
      InputError: nothing can be written there, or Jinja2 or matplotlib is not installed.
    """
    with needs("the page of claims"):
        import jinja2
        from markupsafe import Markup

    def inline(name: str) -> Markup:
        return Markup((HERE / name).read_text(encoding="utf-8"))

    def link(name: str) -> str:
        return Path(os.path.relpath(sources[name], folder)).as_posix()

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    tools = {"inline": inline, "link": link, "kind": _kind, "signs": SIGNS, "where": where}
    environment.globals.update(tools, svg=lambda plot, name: Markup(to_svg(plot, name)))
    text = environment.get_template("page.html").render(story=story)
    path = folder / "index.html"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; choose another folder for the report") from None
    return path
