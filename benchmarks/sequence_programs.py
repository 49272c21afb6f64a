"""The contenders of `benchmarks.scan_vs_attention`: layers and language models as compiled programs.

Everything is built from a case alone, so that the same case is the same program in every run. Weights are those the
layer begins with, moved by noise so that no bias is zero; the contenders of one architecture share them.
"""

import ctypes
import functools
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from benchmarks import recurrence, timing

SWEEPS = ("length", "batch", "devices")
KINDS = ("layer", "model")
MODES = ("forward", "train", "generate")
HEADS = 4
VOCABULARY = 256
"""Bytes."""
MODEL_LAYERS = {"attention": 4}
"""Blocks of the Transformer; recurrent models have two layers."""
WRITTEN = 16
"""Tokens written after a context, one after the other."""
ROUNDS = 4
"""That a call writes them, each time after the same context: after 16 tokens of a layer, half of the time would be what
JAX takes to start a program."""
GATES = {"elman": 1, "lstm": 4, "gru": 3, "mingru": 2, "minlstm": 3}
READS_STATE = ("elman", "lstm", "gru")
COUNTERS = "iu"
"""Kinds of a state's leaves that count tokens."""


class Case(NamedTuple):
    """What contenders do in turn."""

    sweep: str
    """length, batch or devices."""
    kind: str
    """layer, or model: a language model."""
    mode: str
    """forward, train or generate."""
    length: int
    """Tokens in a sequence; before the written ones in generate."""
    batch: int
    width: int
    """Of a layer; of a model's Transformer, whose number of parameters the others have too."""
    devices: int
    dtype: str

    def __str__(self) -> str:
        on = f", {self.devices} devices" if self.devices > 1 else ""
        return f"{self.kind} {self.width}, {self.mode}, {self.batch} x {self.length}{on}"

    @property
    def steps(self) -> int:
        """Of a call, that its milliseconds are divided by: those that write."""
        return ROUNDS * WRITTEN if self.mode == "generate" else 1

    @property
    def tokens(self) -> int:
        """That a call reads, or writes."""
        return self.batch * (self.steps if self.mode == "generate" else self.length)


class Who(NamedTuple):
    """A contender."""

    impl: str
    arch: str
    backend: str

    def __str__(self) -> str:
        name = f"{self.arch}/{self.backend}"
        return name if self.impl == "nlpx" else f"{self.impl} {name}"


OURS = (
    Who("nlpx", "elman", "scan"),
    Who("nlpx", "lstm", "scan"),
    Who("nlpx", "lstm", "cudnn"),
    Who("nlpx", "gru", "scan"),
    Who("nlpx", "gru", "newton"),
    Who("nlpx", "mingru", "scan"),
    Who("nlpx", "mingru", "associative"),
    Who("nlpx", "minlstm", "associative"),
    Who("nlpx", "attention", "xla"),
    Who("nlpx", "attention", "blockwise"),
    Who("nlpx", "attention", "cudnn"),
)


class Program(NamedTuple):
    """A contender ready to be called."""

    call: Callable[[], Any]
    """One call, done when it returns."""
    read: Callable[[Any], dict[str, Any]]
    """What a call returned as arrays by name, the same names for all contenders of a case and architecture."""
    flops: int
    """Of the products of matrices in a call, see `calls_flops`."""
    width: int
    parameters: int
    memory: int | None = None
    """Bytes that a call needs at once on each device, arguments and results included, as the compiler counts them."""
    compile_seconds: float | None = None
    threads: int | None = None


def refusal(who: Who, case: Case, platform: str) -> str | None:
    """Why a contender has no part in a case; None if it has."""
    if who.backend == "cudnn":
        if platform not in ("gpu", "cuda"):
            return "needs a CUDA device"
        if (case.dtype == "bfloat16") != (who.arch == "attention"):
            return f"does not compute in {case.dtype}"
    if who.impl != "nlpx" and (case.kind != "layer" or case.mode == "generate"):
        return "is measured in layers, forward and train"
    if who.impl != "nlpx" and case.dtype != "float32":
        return "is measured in float32"
    if who.impl == "torch" and platform != "cpu":
        return "is measured on the CPU"
    if who.backend == "compile" and not timing.compiler():
        return "needs a C++ compiler"
    if case.mode == "generate" and who.backend in ("newton", "cudnn"):
        return "is for whole sequences"
    return None


def layer_flops(arch: str, width: int, keys: int) -> int:
    """A token's share of the products of a layer, forward; with attention to so many keys."""
    if arch == "attention":
        return 8 * width * width + 4 * keys * width
    return 2 * (2 if arch in READS_STATE else 1) * width * GATES[arch] * width


def model_flops(arch: str, width: int, keys: int) -> int:
    layers = MODEL_LAYERS.get(arch, 2)
    feed_forward = 16 * width * width if arch == "attention" else 0
    return layers * (layer_flops(arch, width, keys) + feed_forward) + 2 * width * VOCABULARY


def calls_flops(who: Who, case: Case, width: int) -> int:
    """What the architecture asks for: neither what a mask hides nor what an algorithm does besides is counted."""
    # Token i of n sees i keys, (n + 1) / 2 on average; the written ones see those before them, and themselves.
    keys = case.length + (WRITTEN + 1) // 2 if case.mode == "generate" else (case.length + 1) // 2
    of_token = (layer_flops if case.kind == "layer" else model_flops)(who.arch, width, keys)
    return case.tokens * of_token * (3 if case.mode == "train" else 1)


MAPPINGS = 32_000
"""Of memory, beyond which no further program is kept: Linux gives a process 65,530, and a program takes about 140."""
QUICK_TO_COMPILE = 0.5
"""Seconds; such programs are compiled again rather than kept."""
_compiled: dict[tuple[Who, Case], tuple[Any, int, float]] = {}


def mappings() -> int:
    """Of memory, that this process has; 0 where that is not known."""
    try:
        with open("/proc/self/maps", "rb") as lines:
            return sum(1 for _ in lines)
    except OSError:
        return 0


def compiled(
    who: Who, case: Case, function: Callable, arguments: tuple[Any, ...], donate: tuple[int, ...] = ()
) -> tuple[Any, int, float]:
    """The program of a function (compiled by `jax.jit` if it is not yet), its memory in bytes, and the seconds it took.

    It is kept if there is room: a sweep comes back to its cases in every pass, and two sweeps have some in common.
    """
    import jax

    key = who, case._replace(sweep="")
    if key in _compiled:
        return _compiled[key]
    start = time.perf_counter()
    jitted = function if hasattr(function, "lower") else jax.jit(function, donate_argnums=donate)
    program = jitted.lower(*arguments).compile()
    seconds = time.perf_counter() - start
    needs = program.memory_analysis()
    sizes = (needs.argument_size_in_bytes, needs.output_size_in_bytes, needs.temp_size_in_bytes)
    found = program, sum(sizes) - needs.alias_size_in_bytes, seconds
    if seconds > QUICK_TO_COMPILE and mappings() < MAPPINGS:
        _compiled[key] = found
    return found


def give_back_memory() -> None:
    """Lets the C library give what was freed back to the kernel, where it is glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def host_memory() -> tuple[float, float]:
    """Bytes of this machine that are left, and all of them."""
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:
            found = {name: rest for name, _, rest in (line.partition(":") for line in lines)}
        return tuple(int(found[name].split()[0]) * 1024 for name in ("MemAvailable", "MemTotal"))
    except (OSError, KeyError):
        return float("inf"), float("inf")


def memory_left() -> float:
    """Bytes that a program may still take: on the device, or in this machine."""
    import jax

    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats.get("bytes_in_use", 0)
    return host_memory()[0]


def shaken(tree: Any) -> Any:
    """The weights moved a little, so that no bias is zero."""
    import jax
    import numpy as np

    rng = np.random.default_rng(0)
    leaves, structure = jax.tree.flatten(tree)
    moved = [np.asarray(leaf) + 0.02 * rng.normal(size=leaf.shape).astype(np.float32) for leaf in leaves]
    return jax.tree.unflatten(structure, moved)


@functools.cache
def layer_weights(arch: str, width: int) -> Any:
    import jax
    import jax.numpy as jnp

    layer = make_layer(Who("nlpx", arch, "xla" if arch == "attention" else "scan"), width, "float32")
    return shaken(jax.jit(layer.init)(jax.random.key(0), jnp.zeros((1, 2, width)))["params"])


def make_layer(who: Who, width: int, dtype: str) -> Any:
    import jax.numpy as jnp

    from nlpx import layers

    if who.arch == "attention":
        return layers.MultiHeadAttention(width, HEADS, backend=who.backend, dtype=jnp.dtype(dtype))
    return layers.CELLS[who.arch](width, backend=who.backend, dtype=jnp.dtype(dtype))


def layer_arrays(case: Case) -> tuple[Any, Any]:
    """Input, and gradient of the output, in float32."""
    return _layer_arrays(case.batch, case.length, case.width)


@functools.lru_cache(maxsize=1)
def _layer_arrays(*shape: int) -> tuple[Any, Any]:
    import numpy as np

    rng = np.random.default_rng(1)
    x, cotangent = (rng.normal(size=shape).astype(np.float32) for _ in range(2))
    return x, cotangent


def entered(tree: Any, tokens: int, fresh: Any) -> Any:
    """The state with its counters at so many tokens where `fresh` counts, and all else as it is."""
    import jax
    import jax.numpy as jnp

    def enter(leaf, begin):
        return jnp.full_like(begin, tokens) if begin.dtype.kind in COUNTERS else leaf

    return jax.tree.map(enter, tree, fresh)


def writer(step: Callable, fresh: Any, tokens: int) -> Callable:
    """`write(params, state, x) -> (x, state)`: as many calls of `step(params, state, x)` as tokens are written.

    After each round the counters of the state are where they were, so that the next writes after as many tokens again.
    """
    import jax

    def write(params, state, x):
        def write_round(_, carry):
            x, state = jax.lax.fori_loop(0, WRITTEN, lambda _, carry: step(params, *carry[::-1]), carry)
            return x, entered(state, tokens, fresh)

        return jax.lax.fori_loop(0, ROUNDS, write_round, (x, state))

    return write


def writing(
    who: Who, case: Case, write: Callable, params: Any, state: Any, x: Any
) -> tuple[Callable[[], Any], int, float]:
    """Calls that go on from the state of the one before; it is donated, or each would begin by copying the cache."""
    import jax

    program, memory, seconds = compiled(who, case, write, (params, state, x), donate=(1,))
    held = [state]

    def call():
        y, held[0] = program(params, held[0], x)
        jax.block_until_ready((y, held[0]))
        return y

    return call, memory, seconds


def nlpx_layer(who: Who, case: Case) -> Program:
    import jax
    import jax.numpy as jnp

    layer = make_layer(who, case.width, case.dtype)
    params = jax.device_put(layer_weights(who.arch, case.width))
    size = {"width": case.width, "parameters": sum(leaf.size for leaf in jax.tree.leaves(params))}

    def apply(params, x):
        return layer.apply({"params": params}, x)[0]

    if case.mode == "generate":

        def step(params, state, x):
            y, state = layer.apply({"params": params}, x, state=state)
            return y.astype(x.dtype), state

        x = jnp.ones((case.batch, 1, case.width), case.dtype)
        capacity = (case.length + WRITTEN,) if who.arch == "attention" else ()
        fresh = layer.initial_state(case.batch, *capacity)
        write = writer(step, fresh, case.length)
        call, memory, seconds = writing(who, case, write, params, entered(fresh, case.length, fresh), x)
        return Program(
            call,
            lambda y: {"output": y},
            calls_flops(who, case, case.width),
            **size,
            memory=memory,
            compile_seconds=seconds,
        )

    x, cotangent = (jax.device_put(array.astype(case.dtype)) for array in layer_arrays(case))
    if case.mode == "forward":
        arguments = (params, x)
        program, memory, seconds = compiled(who, case, lambda params, x: (apply(params, x),), arguments)
    else:

        def train(params, x, cotangent):
            y, pull_back = jax.vjp(apply, params, x)
            return y, *pull_back(cotangent)

        arguments = (params, x, cotangent)
        program, memory, seconds = compiled(who, case, train, arguments)

    return Program(
        lambda: jax.block_until_ready(program(*arguments)),
        lambda result: recurrence.named(
            result, lambda weights: weights if who.arch != "attention" else attention_names(weights)
        ),
        calls_flops(who, case, case.width),
        **size,
        memory=memory,
        compile_seconds=seconds,
    )


def attention_names(weights: Any) -> dict[str, Any]:
    return {f"{part}/{name}": leaf for part, leaves in weights.items() for name, leaf in leaves.items()}


def model_parameters(width: int) -> int:
    """Of the Transformer of this width."""
    from nlpx.models import count_parameters

    return count_parameters(make_model(Who("nlpx", "attention", "xla"), width, "float32"))


@functools.cache
def model_width(arch: str, width: int) -> int:
    """The width at which a model comes nearest to the number of parameters of a Transformer of `width`."""
    from nlpx.config import LanguageModelConfig
    from nlpx.models import matching_width

    if arch == "attention":
        return width
    return matching_width(LanguageModelConfig(arch=arch, layers=2), VOCABULARY, model_parameters(width))


def make_model(who: Who, width: int, dtype: str) -> Any:
    from nlpx.config import LanguageModelConfig

    if who.arch == "attention":
        # Rotary positions have no parameters: the model is the same at every length.
        own = {"arch": "transformer", "heads": HEADS, "positions": "rotary", "attention_backend": who.backend}
    else:
        own = {"arch": who.arch, "recurrence_backend": who.backend}
    layers = MODEL_LAYERS.get(who.arch, 2)
    return LanguageModelConfig(layers=layers, width=width, dtype=dtype, **own).build(VOCABULARY)


@functools.cache
def make_engine(who: Who, width: int, dtype: str, batch: int, devices: int) -> Any:
    from nlpx.config import TrainConfig
    from nlpx.tasks import LanguageModelling
    from nlpx.train import Engine

    config = TrainConfig(batch_size=batch, schedule="constant", learning_rate=1e-4, mesh=f"data={devices}")
    return Engine(LanguageModelling(make_model(who, width, dtype)), config)


@functools.cache
def initial_state(arch: str, width: int, dtype: str, devices: int) -> Any:
    """Of training; neither the batch nor the backend has a part in it."""
    who = Who("nlpx", arch, "xla" if arch == "attention" else "scan")
    return make_engine(who, width, dtype, devices, devices).init()


@functools.cache
def model_weights(arch: str, width: int) -> Any:
    import jax

    return jax.device_put(initial_state(arch, width, "float32", 1).params, jax.devices()[0])


def nlpx_model(who: Who, case: Case) -> Program:
    """A language model: the loss of a batch, the engine's whole training step, or writing greedily."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from nlpx.tasks import LanguageModelling

    width = model_width(who.arch, case.width)
    model = make_model(who, width, case.dtype)
    task = LanguageModelling(model)
    params = model_weights(who.arch, width)
    size = {
        "width": width,
        "flops": calls_flops(who, case, width),
        "parameters": sum(leaf.size for leaf in jax.tree.leaves(params)),
    }

    if case.mode == "generate":

        def step(params, state, tokens):
            logits, state = model.apply({"params": params}, tokens, state=state)
            return jnp.argmax(logits, axis=-1).astype(tokens.dtype), state

        fresh = model.apply({"params": params}, case.batch, case.length + WRITTEN, method="initial_state")
        tokens = jnp.ones((case.batch, 1), jnp.int32)
        write = writer(step, fresh, case.length)
        call, memory, seconds = writing(who, case, write, params, entered(fresh, case.length, fresh), tokens)
        return Program(call, lambda y: {}, **size, memory=memory, compile_seconds=seconds)

    tokens = np.random.default_rng(0).integers(0, VOCABULARY, (case.batch, case.length + 1), dtype=np.int32)
    batch = {"inputs": tokens[:, :-1], "targets": tokens[:, 1:], "mask": np.ones((case.batch, case.length), bool)}
    if case.mode == "forward":
        arguments = jax.device_put((params, batch))
        loss = lambda params, batch: task.loss(params, batch, ())[0]["loss"]  # noqa: E731
        program, memory, seconds = compiled(who, case, loss, arguments)
        call = lambda: jax.block_until_ready(program(*arguments))  # noqa: E731
        return Program(call, lambda total: {"loss": total}, **size, memory=memory, compile_seconds=seconds)

    engine = make_engine(who, width, case.dtype, case.batch, case.devices)
    held = [jax.tree.map(jnp.copy, initial_state(who.arch, width, case.dtype, case.devices))]
    batch = engine.put(batch)
    program, memory, seconds = compiled(who, case, engine.train_step, (held[0], batch))

    def train():
        held[0], metrics = program(held[0], batch)
        jax.block_until_ready(held[0])
        return metrics

    return Program(train, dict, **size, memory=memory, compile_seconds=seconds)


def our_program(who: Who, case: Case) -> Program:
    return nlpx_layer(who, case) if case.kind == "layer" else nlpx_model(who, case)
