import subprocess
import sys

import jax

from nlpx.train.cpu import use_cpu_devices


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
