import subprocess
import sys

import jax

from nlpx.config import FeedForwardConfig, LanguageModelConfig
from nlpx.train import cpu
from nlpx.train.cpu import suited, use_cpu_devices


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


def test_half_precision_is_computed_whole_on_a_cpu_and_that_is_said_once(capsys, monkeypatch):
    cpu._say_once.cache_clear()
    half, whole = (LanguageModelConfig(arch="lstm", dtype=dtype) for dtype in ("bfloat16", "float32"))
    assert suited(half) == suited(half) == suited(whole) == whole
    assert capsys.readouterr().err.splitlines() == ["dtype bfloat16: computed in float32, which is faster on a CPU"]
    assert suited(FeedForwardConfig()) == FeedForwardConfig()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert suited(half) == half
