"""Measures the statements of the story from RNN to Transformer, and writes a page that says which of them hold.

python -m experiments.claims
python -m experiments.claims --only causality,word_order
python -m experiments.claims --quick

About 85 minutes on two CPU cores, five with --quick. One experiment per claim, each in a file beside this one. What was
measured is kept in --workdir: a run that is stopped goes on, and only what has changed is measured again.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from experiments import cli
from nlpx.config import Settings, setting
from nlpx.errors import InputError
from nlpx.machine import cores

FOLDER = Path(__file__).parent
DOCS = FOLDER.parents[1] / "docs" / "claims.md"


def sources() -> dict[str, Path]:
    """Return the file of each claim, by its name."""
    return {path.stem: path for path in sorted(FOLDER.glob("[!_]*.py"))}


@dataclass(frozen=True)
class Config(Settings):
    """Claims"""

    experiment: ClassVar[str] = "claims"
    only: str | None = None
    """Claims to measure, such as causality,word_order; if not given, all."""
    quick: bool = False
    """Small settings and one seed: shows that everything works, and decides no statistical claim."""
    seeds: int | None = setting(None, "[2, inf)")
    """Seeds per statistical claim; if not given, as many as the claim asks for, with --quick one."""
    limit: float = setting(3600.0, "(0, inf)")
    """Seconds after which a claim is given up, and the next one begins."""
    jobs: int = setting(cores(), "[1, inf)")
    """Claims measured at a time; those that measure time are alone."""
    workdir: str = "runs/claims"
    """Folder of what was measured, and of the trainings."""
    report: str | None = None
    """Folder the page is written into, as index.html; if not given, report, or report in --workdir with --quick."""
    save: bool = False
    """Write the findings into docs/claims.md too; not with --quick."""

    def chosen(self) -> list[str]:
        """Return the names of the claims to measure."""
        return list(cli.parse_names("claim", self.only, sources()) if self.only else sources())

    def folder(self) -> Path:
        """Return the folder of the page, which is made, because hours of measuring may come before the page."""
        path = Path(self.report or (Path(self.workdir) / "report" if self.quick else "report"))
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / "index.html").touch()
        except OSError as error:
            raise InputError(f"cannot write into {path}: {error.strerror}; give another folder as report") from None
        return path


def main(config: Config) -> None:
    if config.save and config.quick:
        raise InputError("save keeps the figures of full runs in docs/claims.md: leave out quick or save")
    chosen, folder, files = config.chosen(), config.folder(), sources()
    from experiments.claims._story import CHAPTERS
    from nlpx import claims

    modules = {name: f"experiments.claims.{name}" for name in files}
    how = {"quick": config.quick, "seeds": config.seeds, "limit": config.limit, "jobs": config.jobs}
    outcomes = claims.carry_out(modules, files, chosen, Path(config.workdir), **how)
    title, command = "From RNN to Transformer: which statements hold?", "python -m experiments.claims"
    story = claims.Story(title, CHAPTERS, outcomes, "no experiment yet", command)
    print(f"report: {claims.write_page(story, folder, files)}")
    if config.save:
        claims.write_text(story, DOCS)
        print(f"figures: {DOCS}")
    if failed := [outcome.name for outcome in outcomes if outcome.failed]:
        raise SystemExit(f"error: {', '.join(failed)}: an exact statement is wrong, or the code failed; see above")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
