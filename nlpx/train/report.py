"""Reports of a run while it trains: metrics.jsonl, TensorBoard events, and a progress bar or lines on the terminal."""

import contextlib
import json
import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nlpx.errors import InputError, needs
from nlpx.json_files import write_lines
from nlpx.train.workdir import read_metrics

with needs("a report of training"):
    from rich import progress
    from rich.console import Console


class DivergedError(InputError):
    """The loss or the gradient is no longer a finite number."""


class Report:
    """The metrics of every step, reported as means once every `log_every` steps.

    A line has `tokens_per_second` if it covers a step that did not compile; the first one after a start does.

    Checkpoints hold the sums since the last line (`state`), so that a resumed run writes the same lines as an
    undisturbed one.
    """

    def __init__(
        self,
        workdir: Path,
        *,
        steps: int,
        log_every: int,
        resume_step: int,
        state: dict[str, Any] | None,
        read: str = "token",
        quiet: bool = False,
    ):
        self._steps, self._log_every, self._read = steps, log_every, read
        totals = ("tokens", "seconds", "eval_seconds", "steady_tokens", "steady_seconds")
        self.state = {"interval": {}, **dict.fromkeys(totals, 0.0), **(state or {})}
        """The task's sums since the last line. Over the whole run: tokens, seconds of training and of validation, and
        tokens and seconds of training without the first step after each start, which compiles."""
        kept = [record for record in read_metrics(workdir) if record["step"] <= resume_step]
        write_lines(workdir / "metrics.jsonl", kept)
        self._file = (workdir / "metrics.jsonl").open("a", encoding="utf-8")
        with needs("a report of training"):
            from tensorboardX import SummaryWriter  # imports PyTorch where that is installed, which takes seconds

        self._events = SummaryWriter(str(workdir / "tensorboard"), purge_step=resume_step + 1)
        self._console = Console(stderr=True, quiet=quiet)
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TextColumn("{task.fields[loss]} {task.fields[speed]}"),
            progress.TimeElapsedColumn(),
            progress.TimeRemainingColumn(),
        )
        self._progress = progress.Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._bar = self._progress.add_task("training", total=steps, completed=resume_step, loss="", speed="")
        self._progress.start()
        self._last_print = -math.inf
        self._first_step = resume_step + 1
        self.train_loss = next((r["loss"] for r in reversed(kept) if r["split"] == "train"), math.nan)
        self.eval_loss = next((r["loss"] for r in reversed(kept) if r["split"] == "validation"), math.inf)
        self._interval_tokens, self._interval_seconds = 0.0, 0.0

    def _emit(self, record: dict[str, Any]) -> None:
        self._file.write(json.dumps(record) + "\n")
        self._file.flush()
        for name, value in record.items():
            if isinstance(value, float):
                self._events.add_scalar(f"{record['split']}/{name}", value, record["step"])

    def seconds(self, seconds: float, *, compiling: bool = False) -> None:
        """Add the time spent on training steps since the last call."""
        self.state["seconds"] += seconds
        if not compiling:
            self._interval_seconds += seconds

    def step(
        self, step: int, sums: Mapping[str, float], grad_norm: float, learning_rate: float, compiling: bool = False
    ) -> None:
        """Add the task's sums of one step, and note the norm of its gradient. Speed leaves out a step that compiles.

        Raises:
          DivergedError: loss or gradient is not finite.
        """
        if not (math.isfinite(sums["loss"]) and math.isfinite(grad_norm)):
            what = "loss" if not math.isfinite(sums["loss"]) else "norm of the gradient"
            raise DivergedError(f"the {what} is no longer finite at step {step}")
        interval = self.state["interval"]
        self.state["interval"] = {name: interval.get(name, 0.0) + value for name, value in sums.items()}
        tokens = sums.get("tokens", sums["count"])
        self.state["tokens"] += tokens
        if step != self._first_step and not compiling:
            self._interval_tokens += tokens
        self._now = {"grad_norm": grad_norm, "learning_rate": learning_rate}
        if step % self._log_every == 0 or step == self._steps:
            self.line(step)

    def line(self, step: int) -> None:
        """Report on the steps since the last line, if any."""
        interval = self.state["interval"]
        if not interval:
            return
        means = {
            name: value / max(interval["count"], 1)
            for name, value in interval.items()
            if name not in ("count", "tokens")
        }
        self.train_loss = means["loss"]
        speed, shown = {}, ""
        if self._interval_tokens and self._interval_seconds:  # not if the first step after a start is the only one
            speed = {"tokens_per_second": self._interval_tokens / self._interval_seconds}
            shown = f"{speed['tokens_per_second']:,.0f} {self._read}s/s"
        self.state["steady_tokens"] += self._interval_tokens
        self.state["steady_seconds"] += self._interval_seconds
        self._interval_tokens, self._interval_seconds = 0.0, 0.0
        self.state["interval"] = {}
        self._emit(
            {
                "step": step,
                "split": "train",
                **means,
                **self._now,
                "tokens": int(self.state["tokens"]),
                "seconds": self.state["seconds"],
                **speed,
            }
        )
        self._progress.update(self._bar, completed=step, loss=f"loss {self.train_loss:.4f}", speed=shown)
        if not self._console.is_terminal and time.monotonic() - self._last_print > 10:
            self._last_print = time.monotonic()
            self.say(f"step {step}/{self._steps}  loss {self.train_loss:.4f}  {shown}".rstrip())

    def evaluation(self, step: int, loss: float, metrics: dict[str, float]) -> None:
        """Report the mean validation loss, in the task's unit, and the figures made of it."""
        self.eval_loss = loss
        self._emit({"step": step, "split": "validation", "loss": loss, **metrics, "seconds": self.state["seconds"]})
        details = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
        self.say(f"step {step}/{self._steps}  validation loss {loss:.4f}  {details}")

    def say(self, message: str) -> None:
        """Print a line for the user, above the progress bar."""
        self._progress.console.print(message, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        self._progress.stop()
        for file in (self._events, self._file):
            with contextlib.suppress(OSError):  # of what could not be written, which was raised then
                file.close()
