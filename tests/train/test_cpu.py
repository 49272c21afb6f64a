import os
import platform
import subprocess
import sys

import jax
import pytest

from nlpx.train.cpu import compiler_options, use_cpu_devices


def test_cpu_devices_are_there_when_asked_for_before_jax_starts():
    code = """
import os
from nlpx.train.cpu import use_cpu_devices
use_cpu_devices("data=4,model=2")
import jax
assert jax.device_count() == 8, jax.devices()
assert int(os.environ["NPROC"]) > 8
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_asking_later_changes_nothing():
    use_cpu_devices("data=2")
    assert jax.device_count() == 8


FAULTS = """
import ctypes, resource
from nlpx.train.cpu import use_cpu_devices
use_cpu_devices("data=2")
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(2**24) for _ in range(8)]
    for block in blocks:
        ctypes.memset(block, 1, 2**24)
    for block in blocks:
        libc.free(ctypes.c_void_p(block))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_freed_memory_stays():
    def pages(**environment):
        command = [sys.executable, "-c", FAULTS]
        return int(subprocess.run(command, check=True, capture_output=True, env={**os.environ, **environment}).stdout)

    assert pages() < 100
    # What the environment asks for holds.
    assert pages(MALLOC_MMAP_THRESHOLD_="1000000") > 10_000


def test_options_are_known_to_xla():
    assert compiler_options()
    assert jax.jit(lambda x: x + 1, compiler_options=compiler_options())(1) == 2
