"""How fast a translation model writes: with a cache against reading everything again, greedily and with beams.

    python -m benchmarks.decoding

Decodes with a Transformer (of about 9 million parameters by default) and a GRU with Bahdanau's attention, at random
parameters, always the full number of tokens. The cached tokens are first compared with those of the full passes, one by
one. About 8 minutes on two CPU cores, most of them for the full passes.
"""

from dataclasses import dataclass
from typing import Any

from benchmarks import timing
from experiments import cli
from nlpx.errors import InputError, unknown

ARCHS = ("transformer", "bahdanau", "luong", "none")


@dataclass(frozen=True)
class Config:
    """Decoding"""

    archs: tuple[str, ...] = ("transformer", "bahdanau")
    """Models to time: transformer, or a GRU with attention by bahdanau, luong or none."""
    batches: tuple[int, ...] = (1, 64)
    """Sentences side by side."""
    tokens: int = 128
    """Tokens to write."""
    source: int = 32
    """Tokens of a source."""
    beams: int = 4
    """Hypotheses of the beam search."""
    vocab_size: int = 6000
    """Tokens of the vocabulary, with the two that begin and end a sentence."""
    layers: int = 3
    """Of the encoder, and of the decoder; recurrent models have one."""
    width: int = 256
    """Features."""
    heads: int = 8
    """Attention heads."""
    hidden: int = 512
    """Features inside the feed-forward networks."""
    rounds: int = 5
    """Turns of each."""
    json: str | None = None
    """Append the figures to this file, a line of JSON each."""


CHUNK = 16
"""A full pass reads the tokens so far, up to the next multiple of this: so many programs, none much too long."""


def make_calls(config: Config, arch: str, rows: int) -> tuple[dict[str, Any], int]:
    """What to time, each giving the tokens (rows, n); and the model's parameters."""
    import jax
    import jax.numpy as jnp

    from nlpx.config import EncoderDecoderConfig
    from nlpx.decode import Sampling, beam_search, generate
    from nlpx.models import count_parameters

    if arch == "transformer":
        own = {"arch": arch, "layers": config.layers, "heads": config.heads, "hidden": config.hidden}
        own |= {"positions": "sinusoidal", "activation": "relu"}
    else:
        own = {"arch": "gru", "layers": 1, "attention": arch}
    model = EncoderDecoderConfig(width=config.width, tied=False, **own).build(config.vocab_size - 2)
    variables = jax.jit(model.init)(jax.random.key(0), *model.example_inputs())
    source = jax.random.randint(jax.random.key(1), (rows, config.source), 0, config.vocab_size)
    prompt = jnp.zeros((rows, 1), jnp.int32)
    keys = jax.random.split(jax.random.key(2), rows)

    def begin(variables):
        encoded = model.apply(variables, source, method="encode")
        state = model.apply(variables, encoded, config.tokens, method="initial_state")

        def step(tokens, state, mask):
            return model.apply(variables, tokens, encoded, state=state, mask=mask, method="decode")

        return step, state, prompt

    @jax.jit
    def cached(variables):
        return generate(*begin(variables), keys, tokens=config.tokens, sampling=Sampling(temperature=0.0)).tokens

    @jax.jit
    def searched(variables):
        # An end token that is never written would make the search stop nowhere: so all have the full length.
        step, state, prompt = begin(variables)

        def endless(tokens, state, mask):
            logits, state = step(tokens, state, mask)
            return logits.at[..., -1].set(-jnp.inf), state

        found = beam_search(endless, state, prompt, tokens=config.tokens, beams=config.beams, eos=config.vocab_size - 1)
        return found.tokens[:, 0]

    @jax.jit
    def recomputed(variables):
        encoded = model.apply(variables, source, method="encode")
        written = jnp.zeros((rows, config.tokens + 1), jnp.int32)

        def write(n, written, length):
            logits, _ = model.apply(variables, written[:, :length], encoded, method="decode")
            return written.at[:, n + 1].set(jnp.argmax(logits[:, n], axis=-1).astype(jnp.int32))

        for start in range(0, config.tokens, CHUNK):
            end = min(start + CHUNK, config.tokens)
            written = jax.lax.fori_loop(start, end, lambda n, written, end=end: write(n, written, end), written)
        return written[:, 1:]

    calls = {"cached": cached, "recomputed": recomputed, f"beam {config.beams}": searched}
    bound = {name: lambda call=call: jax.block_until_ready(call(variables)) for name, call in calls.items()}
    return bound, count_parameters(model)


def main(config: Config) -> None:
    timing.check_json(config.json)
    for arch in config.archs:
        if arch not in ARCHS:
            raise unknown("arch", arch, ARCHS)
    for name in ("tokens", "source", "rounds"):
        if getattr(config, name) < 2:
            raise InputError(f"--{name} must be at least 2, not {getattr(config, name)}")
    import numpy as np

    machine = timing.machine()
    print(f"{machine['device']}, {machine['cores']} cores, load {machine['load']}; {config.tokens} tokens a sentence")
    for arch in config.archs:
        for rows in config.batches:
            calls, parameters = make_calls(config, arch, rows)
            results = {name: np.asarray(call()) for name, call in calls.items()}
            differ = int((results["cached"] != results["recomputed"]).sum())
            timings = timing.interleave(calls, config.rounds)
            base = timings["recomputed"]
            print(
                f"\n{arch}, {parameters:,} parameters, batch {rows}: cached tokens that differ from the full passes': "
                f"{differ} of {results['cached'].size}"
            )
            for name, measured in timings.items():
                record = {"benchmark": "decoding", "arch": arch, "parameters": parameters, "batch": rows, "how": name}
                record |= {"tokens": config.tokens, "differ": differ, **machine}
                if measured.failure:
                    print(f"  {name:12} {measured.failure}")
                    timing.append_json(config.json, record | {"failure": measured.failure})
                    continue
                low, high = measured.quartiles
                speed = rows * config.tokens / measured.median
                print(
                    f"  {name:12} {1e3 * measured.median:9.1f} ms (quartiles {1e3 * low:.1f} to {1e3 * high:.1f})  "
                    f"{speed:10,.0f} tokens/s"
                    + ("" if base.failure else f"  {base.median / measured.median:6.2f} times the full passes")
                )
                record |= {"milliseconds": 1e3 * measured.median, "quartiles": [1e3 * low, 1e3 * high]}
                timing.append_json(config.json, record | {"tokens_per_second": speed})


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
