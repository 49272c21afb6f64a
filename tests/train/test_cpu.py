import os
import platform
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from jax.experimental.compilation_cache import compilation_cache

from nlpx.train import cpu
from nlpx.train.cpu import Jitted, use_cpu_devices


def test_cpu_devices_are_there_when_asked_for_before_jax_starts():
    code = """
import os
from nlpx.train import cpu
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
from nlpx.train import cpu
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


@pytest.fixture
def no_cache():
    """Of compiled programs."""
    folder = jax.config.jax_compilation_cache_dir
    jax.config.update("jax_compilation_cache_dir", None)
    compilation_cache.reset_cache()
    yield
    jax.config.update("jax_compilation_cache_dir", folder)
    compilation_cache.reset_cache()


@pytest.mark.parametrize(("rows", "piece"), [(500, 16_000_000), (2_500, 33_000_000), (3_000, None)])
def test_temporaries_lie_in_pieces_where_they_fit(rows, piece, no_cache, capfd):
    traced = []

    def function(state, x):
        traced.append(x.shape)
        inner = jax.lax.map(lambda scale: jnp.tanh(scale * (jnp.sin(x) @ jnp.cos(x))).sum(0), jnp.ones(2))
        return state + inner.sum()

    x = jnp.ones((rows, rows))
    program = Jitted(function)
    assert program(0.0, x) == pytest.approx(float(function(0.0, x)), rel=1e-4)
    program(1.0, x)
    program.lower(1.0, x)
    assert len(traced) == 2  # once by the program, and here
    assert program._chosen.keys() == {((((rows, rows), x.dtype)),)}
    assert next(iter(program._chosen.values())) is program._programs[piece]
    assert "per-heap size limit" not in capfd.readouterr().err


def test_what_is_to_be_cached_is_one_piece(no_cache, tmp_path):
    jax.config.update("jax_compilation_cache_dir", str(tmp_path))
    program = Jitted(lambda state, x: state + x)
    assert program(1.0, jnp.ones(3)).shape == (3,)
    assert list(program._programs) == [None]


def test_a_training_step_in_pieces_is_the_same(no_cache, monkeypatch, make_engine, make_batches):
    def train():
        engine = make_engine("transformer", mesh="data=2", optimizer="adamw", learning_rate=0.01)
        state, losses = engine.init(), []
        for batch in 4 * make_batches(1):
            state, metrics = engine.train_step(state, engine.put(batch))
            losses.append(float(metrics["loss"]))
        return engine, losses

    # Small enough for this small step to have several.
    monkeypatch.setattr(cpu, "PIECES", tuple(2**i for i in range(10, 18)))
    engine, losses = train()
    (program,) = engine.train_step._chosen.values()
    assert program is not engine.train_step._programs[None]
    monkeypatch.setattr(cpu, "PIECES", ())
    assert losses == train()[1]
    assert losses[-1] < losses[0]
