"""The process of an entry point, without JAX: how it is interrupted, how it ends, how it prints, what it keeps.

Ctrl-C works at any moment: a training loop saves first; before and after it, the process ends at once. Python runs
signal handlers only between two of its own instructions, and a compilation is one that takes half a minute. So a thread
waits for the signal. A normal exit while XLA compiles is a segmentation fault, so the process exits without cleaning
up.
"""

import contextlib
import hashlib
import io
import os
import platform
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import NoReturn

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""A compiled step takes its temporaries from the kernel anew every time. Each page of 4 KiB costs a fault, together a
sixth of a step's CPU time; pages of 2 MiB cost little."""

KEPT = 2**30
"""Bytes of compiled programs to keep between runs; the oldest go first."""

STOPPED = int(os.environ.get("NLPX_STOPPED", 0))
"""The exit code of a run that SIGTERM stopped before its end. A supervisor, which has to tell it from one that is
done, sets another."""

temporary: list[Path] = []
"""Folders to remove when the process ends at once."""

saving = False
"""Whether a loop will save and end by itself after the first signal."""


def end_at_once_on_interrupt() -> None:
    """End this process on SIGINT with "stopped" and exit code 130: on the first, or the second if a loop saves."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGINT, lambda number, frame: None)  # writing to the pipe needs a Python handler
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see restart_if_needed

    def watch() -> None:
        before = 0
        while True:
            (number,) = os.read(reader, 1)
            if number == signal.SIGINT and (before or not saving):
                sys.stderr.write("stopped\n")
                leave(130)
            before += number == signal.SIGINT

    threading.Thread(target=watch, daemon=True).start()


def leave(code: int) -> NoReturn:
    """End the process now, even if threads still compile."""
    for folder in temporary:
        shutil.rmtree(folder, ignore_errors=True)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def restart_if_needed() -> None:
    """Restart this process if it needs settings that are read only at the start of a process.

    These are huge pages, if glibc is the C library and the environment has no tunables of it; and UTF-8, if Python
    takes file names for ASCII: checkpoint storage expects UTF-8, and would not find a folder with other letters in its
    name.
    """
    wanted = {}
    if platform.libc_ver()[0] == "glibc" and "GLIBC_TUNABLES" not in os.environ:
        wanted["GLIBC_TUNABLES"] = HUGE_PAGES
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        wanted["PYTHONUTF8"] = "1"
    if wanted and sys.orig_argv[1:]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # held until the new process can handle it
        time.sleep(0.02)  # lets the thread handle one that came just before
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | wanted)


def keep_programs() -> None:
    """Keep what XLA compiles for the next run, in a folder of the user's cache for each kind of CPU.

    A program of another CPU could have instructions that this one lacks. JAX's own settings in the environment decide
    instead, if there are any.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    with contextlib.suppress(OSError):  # a home that cannot be written to costs only the time to compile again
        info = Path("/proc/cpuinfo")
        features = re.search(r"(?:flags|Features)\s*:.*", info.read_text()) if info.exists() else None
        kind = hashlib.sha256((features[0] if features else platform.platform()).encode()).hexdigest()[:8]
        folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "nlpx" / f"programs-{kind}"
        folder.mkdir(parents=True, exist_ok=True)
        files = [(entry, entry.stat()) for entry in folder.rglob("*") if entry.is_file()]
        too_many = sum(about.st_size for _, about in files) - KEPT
        for entry, about in sorted(files, key=lambda file: file[1].st_mtime):
            if too_many > 0:
                entry.unlink()
                too_many -= about.st_size
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def print_anything() -> None:
    """Print characters that the terminal cannot show by their codes, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
