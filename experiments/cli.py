"""What every entry point does around its own work: parse flags first, import the heavy things after, end clearly.

Exit codes: 0 done, 2 the user's input cannot be used (one line says what and the remedy), 130 stopped by the user.
"""

import dataclasses
import os
import platform
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import tyro

from nlpx.errors import InputError, unknown

Config = TypeVar("Config")


def flags_of(config: type) -> dict[str, Any]:
    """Every flag of a dataclass and those nested in it, with its type."""
    flags: dict[str, Any] = {}
    for name, kind in typing.get_type_hints(config).items():
        if dataclasses.is_dataclass(kind):
            flags |= flags_of(kind)
        else:
            flags[f"--{name.replace('_', '-')}"] = kind
            if kind is bool:
                flags[f"--no-{name.replace('_', '-')}"] = kind
    return flags


def check_names(config: type, arguments: Sequence[str]) -> None:
    """Raises InputError for an unknown flag, or an unknown name as the value of a flag, suggesting the nearest."""
    flags = {"--help": None, **flags_of(config)}
    for argument, following in zip(arguments, [*arguments, ""][1:], strict=True):
        if not argument.startswith("--"):
            continue
        flag, separator, value = argument.partition("=")
        if flag.replace("_", "-") not in flags:
            raise unknown("flag", flag, flags)
        kind = flags[flag.replace("_", "-")]
        choices = [name for part in (kind, *typing.get_args(kind)) for name in typing.get_args(part)]
        choices = [name for name in choices if isinstance(name, str)]
        value = value if separator else following
        if choices and value not in (*choices, "None"):
            raise unknown(flag.removeprefix("--"), value, choices)


HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""A compiled step on a CPU takes its buffers from the C library anew each time, and every 4 KiB of them cost a fault:
0.17 million of them in a step of a 10-million-parameter Transformer, which is 12 % faster without."""


def set_tunables(tunables: str) -> None:
    """Starts this process anew with such tunables of glibc, which reads them only when a process starts; not where it
    is another C library, or the environment has some."""
    name = "GLIBC_TUNABLES"
    if platform.libc_ver()[0] != "glibc" or name in os.environ or not sys.orig_argv[1:]:
        return
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | {name: tunables})


def run(main: Callable[[Config], Any], config: type[Config], doc: str | None, *, tunables: str = HUGE_PAGES) -> None:
    """Parses the flags of `config` (a frozen dataclass; nested ones are groups of flat flags) and calls `main`.

    Args:
      tunables: of glibc, for the whole process.
    """
    module = sys.modules["__main__"].__spec__
    if main.__module__ == "__main__":  # not where a test or a notebook calls it
        set_tunables(tunables)
    try:
        check_names(config, sys.argv[1:])
        flags = tyro.cli(
            config,
            prog=f"python -m {module.name}" if module else None,
            description=doc,
            config=(tyro.conf.OmitArgPrefixes,),
        )
        main(flags)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt as stop:
        print(str(stop) or "stopped", file=sys.stderr)
        sys.exit(130)
