"""The frame of every entry point: parse flags first, import heavy packages after, end with a clear message.

Exit codes: 0 done, or stopped by SIGTERM and saved; 1 output closed early; 2 unusable input (one line, or tyro's box,
names the remedy); 75 another process of the run is gone; 130 stopped by Ctrl-C.
"""

import os
import re
import sys
import traceback
from collections.abc import Callable, Collection, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

from nlpx import process, processes
from nlpx.config import read_config, settings_of
from nlpx.errors import InputError, unknown


def missing(error: ModuleNotFoundError) -> NoReturn:
    """End because a package is not installed; a missing package of ours is a bug, and raised."""
    if error.name is None or error.name.partition(".")[0] in ("nlpx", "experiments", "benchmarks"):
        raise error
    print(f"error: {error.name} is not installed: pip install '.[experiments]'", file=sys.stderr)
    sys.exit(2)


try:
    import tyro
except ModuleNotFoundError as error:
    missing(error)


LONGEST = 200
"""Letters of what may be a flag: of a longer word tyro would look for the nearest flags for seconds."""


def check_read(config: Any, given: set[str]) -> None:
    """Refuse given flags that nothing will read."""
    flags = {f"--{field.name.replace('_', '-')}": field for field in settings_of(config)}
    arch = config.model.arch if hasattr(config, "model") else None
    unread = {flag for flag, field in flags.items() if arch and arch not in (field.metadata.get("archs") or (arch,))}
    if given & unread:
        read = [flag for flag in flags if flags[flag] in [*settings_of(config.model)] and flag not in unread]
        raise InputError(f"{', '.join(sorted(given & unread))}: not read by {arch}, whose flags are {', '.join(read)}")
    training = given & {flag for flag, field in flags.items() if field.metadata.get("training", True)}
    if training and (used := given & {"--predict", "--evaluate"}):
        decided = f"{', '.join(sorted(training))}: decided when the model in --workdir was trained"
        raise InputError(f"{decided}; leave out with {' and '.join(sorted(used))}")


def defaults(config: type, words: list[str]) -> Any:
    """Return the defaults of flags: the settings of a run that is named, or those that suit the architecture."""
    given, experiment = dict(pairwise(words)), getattr(config, "experiment", None)
    if "--config" in given:
        return read_config(config, Path(given["--config"]), experiment)
    if "--workdir" in given and {"--predict", "--evaluate"} & set(given):
        return read_config(config, Path(given["--workdir"]) / "config.json", experiment)
    return config.preset(given.get("--arch")) if hasattr(config, "preset") else config()


def parse_names(flag: str, text: str, known: Collection[str]) -> tuple[str, ...]:
    """Parse the names between commas; raise InputError for one that is not known."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if others := [name for name in names if name not in known]:
        raise unknown(flag, others[0], known)
    return names


def parse_sizes(flag: str, text: str, names: Sequence[str], example: str) -> list[tuple[int, ...]]:
    """Parse shapes such as 32x128,8x512, each with a size for every name; raise InputError for anything else."""
    shapes = [part.strip().split("x") for part in text.split(",")]
    for sizes in shapes:
        if len(sizes) != len(names) or not all(size.isdecimal() and int(size) > 0 for size in sizes):
            raise InputError(f"{flag}: {'x'.join(sizes)!r} cannot be read; write {', '.join(names)} as in {example}")
    return list(dict.fromkeys(tuple(map(int, sizes)) for sizes in shapes))


def run(main: Callable[[Any], Any], config: type, doc: str | None, default: Callable[[], Any] | None = None) -> None:
    """Parse the flags of a frozen dataclass (nested ones are groups of flat flags) and call `main`.

    Args:
      default: makes the values of flags that are not given; None: see `defaults`.
    """
    process.print_anything()
    leave = process.leave if main.__module__ == "__main__" else sys.exit  # not when a test or a notebook calls it
    words = [word for argument in sys.argv[1:] for word in argument.split("=", 1)]
    try:
        if long := [word for word in sys.argv[1:] if word.startswith("--") and len(word.partition("=")[0]) > LONGEST]:
            raise InputError(f"unknown flag {long[0][:40]}...; --help names all")
        spec = sys.modules["__main__"].__spec__
        name = f"python -m {spec.name.removesuffix('.__main__')}" if spec else None
        flags = (tyro.conf.OmitArgPrefixes, tyro.conf.UseAppendAction)
        doc = re.sub("^(?=python -m)", "  ", doc or "", flags=re.MULTILINE) or None  # tyro joins other lines
        suited = default() if default else defaults(config, words)
        parsed = tyro.cli(config, prog=name, description=doc, default=suited, config=flags)
        check_read(parsed, {word.replace("--no-", "--").replace("_", "-") for word in words if word.startswith("--")})
        if main.__module__ == "__main__":
            process.keep_programs()
            process.restart_if_needed()
        main(parsed)
    except ModuleNotFoundError as error:
        missing(error)
    except InputError as error:
        processes.fail(f"error: {error}", 2)
        print(f"error: {error}", file=sys.stderr)
        leave(2)
    except BrokenPipeError:  # the reader, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's last flush complains
        sys.exit(1)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr, flush=True)
        processes.close()
        code = getattr(stop, "code", 130)
        leave(code)
    except Exception:
        if processes.group():  # one of the others may be the cause
            processes.await_news()
            traceback.print_exc()
            processes.fail("the run ended by a fault of ours", 1)
        raise
