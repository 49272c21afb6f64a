"""The findings as Markdown, with their plots, for the documentation."""

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from nlpx.claims.exhibits import Plot, Table
from nlpx.claims.measure import Outcome
from nlpx.claims.page import Story, where
from nlpx.claims.svg import to_png


def write_text(story: Story, path: Path) -> None:
    """Write a table of all statements with their verdicts, and a section per claim. Its plots go into a folder named
    as the file, which is emptied first."""
    pictures = path.with_suffix("")
    shutil.rmtree(pictures, ignore_errors=True)
    pictures.mkdir(parents=True)
    counts = ", ".join(f"{verdict} {count}" for verdict, count in story.counts.items())
    records = [record for outcome in story.outcomes for record in outcome.records]
    lines = [
        "# Which statements hold",
        "",
        f"`{story.command}` measures each statement and writes this page, and one to explore, `report/index.html`. "
        f"Verdicts on {len(story.statements)} statements: {counts}. An exact statement is asserted. A statistical one "
        "is decided by the 95 % interval over seeds, in brackets, against a threshold fixed before the run. A timed "
        "one quotes ratios of one run. Holds only when: under the condition, or in the part, named. Not decided: the "
        "interval, or that of one part of the statement, contains the threshold; more seeds or a longer training may "
        "decide. The "
        "interval is Student's, so it may reach beyond what a value can be, such as 100 %. "
        f"Measured on {'; '.join(sorted({where(record) for record in records}))}.",
        "",
        *_table(("", "statement", "verdict"), [_row(story, number) for number in story.statements]),
    ]
    for chapter, outcomes in story.by_chapter():
        lines += ["", f"## {chapter}"]
        for outcome in outcomes:
            lines += _section(story, outcome, pictures)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _row(story: Story, number: int) -> tuple[str, str, str]:
    finding, outcome = story.findings[number]
    text = story.statements[number]
    if outcome and outcome.records:
        return str(number), f"[{text}](#{outcome.name})", f"**{finding.words}**"
    return str(number), text, f"{finding.words}: {finding.meaning}"


def _section(story: Story, outcome: Outcome, pictures: Path) -> Iterator[str]:
    claim, ran = outcome.claim, len(outcome.records)
    yield from ("", f'<a id="{outcome.name}"></a>', "", f"### {claim.title}")
    for finding in outcome.findings:
        yield from ("", f"**{finding.statement}. {story.statements[finding.statement]}**")
        yield from ("", f"**{finding.words}**: {finding.told}")
    yield from ("", f"{claim.method} {claim.decides}")
    if claim.published:
        yield from ("", f"Elsewhere: {claim.published}")
    for number, exhibit in enumerate(outcome.exhibits, start=1):
        if isinstance(exhibit, Plot):
            picture = pictures / f"{outcome.name}-{number}.png"
            to_png(exhibit, picture)
            yield from ("", f"![{exhibit.title}. {exhibit.alt}]({pictures.name}/{picture.name})")
        elif isinstance(exhibit, Table):
            yield from ("", f"{exhibit.title}:", "", *_table(exhibit.columns, exhibit.rows))
    seeds = f"{ran} seed{'s' if ran > 1 else ''}, {outcome.seconds:.0f} s" if ran else "not measured"
    yield from ("", f"{claim.kind}, {seeds}: `{story.command} --only {outcome.name}`")


def _table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    written = [columns, ["---"] * len(columns), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in written]
