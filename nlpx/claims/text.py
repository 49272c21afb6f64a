"""The findings as Markdown, for the documentation."""

from pathlib import Path

from nlpx.claims.page import Story, _where

HEAD = "# Which statements hold\n\n"


def write_text(story: Story, path: Path) -> None:
    """Write a table of all statements with their verdicts and figures."""
    counts = ", ".join(f"{count} {verdict}" for verdict, count in story.counts.items())
    records = [record for outcome in story.outcomes for record in outcome.records]
    where = "; ".join(sorted({_where(record) for record in records}))
    lines = [
        f"`{story.command}` measures each statement and writes this page, and one with plots. Of "
        f"{len(story.statements)} statements: {counts}. Measured on {where}.",
    ]
    for chapter, texts in story.chapters.items():
        lines += ["", f"## {chapter}", "", "| | statement | verdict | figure | claim |", "|---|---|---|---|---|"]
        for number, text in texts.items():
            finding, outcome = story.findings[number]
            claim = f"`{outcome.name}`, {outcome.claim.kind}" if outcome else ""
            cells = (str(number), text, f"**{finding.words}**", finding.told, claim)
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    path.write_text(HEAD + "\n".join(lines) + "\n", encoding="utf-8")
