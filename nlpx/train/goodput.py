"""How much of a run's time went into steps that count: what it loses to starts, compilation, saving and faults."""

import json
import time
from pathlib import Path

from nlpx.errors import InputError


class Goodput:
    """The starts and ends of a run, kept in `starts.jsonl` of its workdir. Time after an end in order does not count,
    as nobody waited; time after a kill does."""

    def __init__(self, workdir: Path, step: int):
        self._path = workdir / "starts.jsonl"
        self._write({"started": time.time(), "step": step})

    def _write(self, record: dict[str, float]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def end(self) -> None:
        """Note that the run ends in order: it is done, or was told to stop."""
        self._write({"ended": time.time()})


def wall(workdir: Path) -> tuple[float, int]:
    """Return the seconds from the first start of a run to its end, without pauses, and the number of starts.

    Raises:
      ValueError: the record of starts is damaged.
    """
    seconds, starts, since = 0.0, 0, None
    try:
        for line in (workdir / "starts.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            if "started" in record:
                since, starts = record["started"] if since is None else since, starts + 1
            else:
                ended = record["ended"]
                seconds, since = seconds + (0 if since is None else ended - since), None
    except FileNotFoundError:  # a run of an earlier version that was done
        return 0.0, 0
    except (ValueError, TypeError, KeyError):
        raise InputError(f"{workdir / 'starts.jsonl'} is damaged: remove it, and goodput counts anew") from None
    return seconds, starts
