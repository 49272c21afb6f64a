"""What an entry point asks of its process, without JAX: how it is interrupted, how it ends, what it prints in.

Ctrl-C works at any moment: a training run that has something to save saves it; before and after, the process ends at
once. Python runs its signal handlers between two of its own instructions, and a compilation is one that takes half a
minute: so a thread waits for the signal. Ending the usual way while XLA compiles is a segmentation fault: so it leaves
without looking back.
"""

import io
import os
import platform
import signal
import sys
import threading
import time

HUGE_PAGES = "glibc.malloc.hugetlb=1"
"""Buffers of a compiled step are taken anew each time, and each of their 4 KiB costs a fault: 12 % of a step of a
10-million-parameter Transformer."""

saving = False
"""Whether a loop will save and end by itself after the first signal."""


def end_at_once_on_interrupt() -> None:
    """Lets SIGINT end this process with "stopped" and exit code 130: the first, or the second where a loop saves."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGINT, lambda number, frame: None)  # what writes into the pipe needs a handler of Python's
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # see restart_with

    def watch() -> None:
        before = 0
        while True:
            (number,) = os.read(reader, 1)
            if number == signal.SIGINT and (before or not saving):
                sys.stderr.write("stopped\n")
                leave(130)
            before += number == signal.SIGINT

    threading.Thread(target=watch, daemon=True).start()


def leave(code: int) -> None:
    """Ends the process now, past threads that may still compile."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)


def restart_with(tunables: str) -> None:
    """Starts this process anew with what is read only when a process starts, where something is to be changed.

    That is tunables of glibc, unless it is another C library or the environment has some, and UTF-8 where Python takes
    names of files for ASCII: storage takes them for UTF-8, and would not find a folder with another letter in its name.
    """
    wanted = {}
    if platform.libc_ver()[0] == "glibc" and "GLIBC_TUNABLES" not in os.environ:
        wanted["GLIBC_TUNABLES"] = tunables
    if sys.getfilesystemencoding() == "ascii" and os.environ.get("PYTHONUTF8") != "1":
        wanted["PYTHONUTF8"] = "1"
    if wanted and sys.orig_argv[1:]:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # kept until the new one can hear it
        time.sleep(0.02)  # for the thread to hear one that came just before
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | wanted)


def print_anything() -> None:
    """Prints a character that the terminal cannot show as its code, instead of ending in an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
