"""What all tests share: parity with PyTorch and checked annotations if asked for, and repeatable examples."""

import fnmatch
import gc
import importlib.util
import os
import sys
from pathlib import Path

# The suite compiles thousands of small programs and runs each a few times, so compilation is most of its time: XLA
# optimizes nothing, and does not split a program into parts either.
os.environ["XLA_FLAGS"] = " ".join(
    (
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",
        "--xla_llvm_disable_expensive_passes=true",
        "--xla_cpu_parallel_codegen_split_count=1",
    )
)

import hypothesis
import jax
import jaxtyping
import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))  # for `laws`, what tests of several folders share

# Before the first of these is imported: every call in the tests then checks shapes and types. A third of the time of
# tracing goes into it, so only the thorough run does it.
ROOMS = ("ops", "layers", "models", "tasks", "text", "data", "train", "decode", "predict", "interop", "metrics")
if os.environ.get("NLPX_PARITY") == "1":
    jaxtyping.install_import_hook([f"nlpx.{room}" for room in ROOMS], "beartype.beartype")

# Eight simulated devices for the whole suite: JAX has started after this, and no command under test changes it.
from nlpx.train.cpu import use_cpu_devices  # noqa: E402 - under the hook

use_cpu_devices("data=8")
jax.devices()

gc.freeze()  # what is imported stays
gc.set_threshold(200_000, 20, 20)  # tracing makes many objects, few of them garbage
hypothesis.settings.register_profile("nlpx", deadline=None, derandomize=True, max_examples=12)
hypothesis.settings.load_profile("nlpx")


def pytest_sessionfinish():
    gc.freeze()  # pytest collects once more at the end: gigabytes of traced programs, for nothing


def pytest_collection_modifyitems(config, items):
    """Leave out what is `thorough` where `make test` asks for the short run: all but the cases that `but` names."""
    if os.environ.get("NLPX_PARITY") != "0":
        return
    kept, left = [], []
    for item in items:
        thorough = item.get_closest_marker("thorough")
        cases = thorough.kwargs.get("but", ()) if thorough else ()
        case = item.callspec.id if hasattr(item, "callspec") else ""
        stays = thorough is None or item.get_closest_marker("slow") or any(fnmatch.fnmatchcase(case, c) for c in cases)
        (kept if stays else left).append(item)
    config.hook.pytest_deselected(items=left)
    items[:] = kept


NO_TORCH = "PyTorch is not installed; `make test PARITY=1` installs it and runs them"


def pytest_runtest_setup(item):
    if item.get_closest_marker("parity") and importlib.util.find_spec("torch") is None:
        stop = pytest.fail if os.environ.get("NLPX_PARITY") == "1" else pytest.skip
        stop(NO_TORCH)


def pytest_terminal_summary(terminalreporter):
    skipped = [r for r in terminalreporter.getreports("skipped") if NO_TORCH in str(r.longrepr)]
    if skipped:
        terminalreporter.write_line(f"{len(skipped)} parity tests skipped: {NO_TORCH}.")


@pytest.fixture
def torch():
    return importlib.import_module("torch")


@pytest.fixture
def transformers(torch):
    if importlib.util.find_spec("transformers") is None:
        (pytest.fail if os.environ.get("NLPX_PARITY") == "1" else pytest.skip)("transformers is not installed")
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.enable_propagation()  # for `caplog`, which sees no warning of theirs otherwise
    return transformers


@pytest.fixture
def x64():
    """float64 in this test alone."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def torch_rows():
    """A mask (3, 6) under which every query of PyTorch's attention sees a key: it gives NaN otherwise."""
    return np.array([[1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 0, 1, 1, 0, 1]], bool)


@pytest.fixture
def torch_attention():
    """`parameters(module, heads, "data" or "grad")`: PyTorch's MultiheadAttention as our parameters."""

    def parameters(module, heads, take):
        qkv, qkv_bias, out, bias = (
            getattr(p, take).numpy()
            for p in (module.in_proj_weight, module.in_proj_bias, module.out_proj.weight, module.out_proj.bias)
        )
        d, k = len(bias), len(bias) // heads
        return {
            "qkv": {"kernel": qkv.T.reshape(d, 3, heads, k), "bias": qkv_bias.reshape(3, heads, k)},
            "out": {"kernel": out.T.reshape(heads, k, d), "bias": bias},
        }

    return parameters


@pytest.fixture
def torch_cross_attention(torch_attention):
    """The same for our cross-attention, whose queries have a product of their own."""

    def parameters(module, heads, take):
        ours = torch_attention(module, heads, take)
        kernel, bias = ours["qkv"]["kernel"], ours["qkv"]["bias"]
        return {
            "query": {"kernel": kernel[:, 0], "bias": bias[0]},
            "key_value": {"kernel": kernel[:, 1:], "bias": bias[1:]},
            "out": ours["out"],
        }

    return parameters
