"""How fast a translation model writes: with a cache against reading everything again, greedily and with beams.

python -m benchmarks.decoding

A Transformer (of about 9 million parameters by default) and a GRU with Bahdanau's attention, at random parameters. The
cached tokens are first compared with those of the full passes. About 8 minutes on two CPU cores.
"""

from dataclasses import dataclass
from typing import Any

from benchmarks import figures, timing
from experiments import cli
from nlpx.config import Settings, setting

LAYERS, SOURCE, BEAMS, VOCABULARY = 3, 32, 4, 6000
"""Of the Transformer's encoder, and of its decoder; tokens of a source; of a search; with those that begin and end."""
CHUNK = 16
"""A full pass reads the tokens so far, up to the next multiple of this: so many programs, none much too long."""


@dataclass(frozen=True)
class Config(Settings):
    """Decoding"""

    archs: str = "transformer,bahdanau"
    """Models to time: transformer, or a GRU with attention by bahdanau, luong or none."""
    batches: str = "1,64"
    """Sentences side by side."""
    tokens: int = setting(128, "[2, inf)")
    """Tokens to write."""
    width: int = setting(256, "[1, inf)")
    """Features. Feed-forward networks have twice as many, attention heads 32 each."""
    rounds: int = setting(5, "[2, inf)")
    """Turns of each."""
    save: bool = False
    """Keep figures and picture in benchmarks/results, not below runs/."""


def make_calls(config: Config, arch: str, rows: int) -> tuple[dict[str, Any], int]:
    """Makes what is timed, each giving the tokens (rows, n); and counts the model's parameters."""
    import jax
    import jax.numpy as jnp

    from nlpx.config import EncoderDecoderConfig
    from nlpx.decode import Sampling, beam_search, generate
    from nlpx.models import count_parameters

    own = {"arch": "gru", "layers": 1, "attention": arch}
    if arch == "transformer":
        own = {"arch": arch, "layers": LAYERS, "heads": max(1, config.width // 32), "hidden": 2 * config.width}
        own |= {"positions": "sinusoidal", "activation": "relu"}
    model = EncoderDecoderConfig(width=config.width, tied=False, **own).build(VOCABULARY - 2)
    variables = jax.jit(model.init)(jax.random.key(0), *model.example_inputs())
    source = jax.random.randint(jax.random.key(1), (rows, SOURCE), 0, VOCABULARY)
    prompt, keys = jnp.zeros((rows, 1), jnp.int32), jax.random.split(jax.random.key(2), rows)

    def begin(variables):
        encoded = model.apply(variables, source, method="encode")
        state = model.apply(variables, encoded, config.tokens, method="initial_state")

        def step(tokens, state, mask):
            logits, state = model.apply(variables, tokens, encoded, state=state, mask=mask, method="decode")
            return logits.at[..., -1].set(-jnp.inf), state  # nobody writes an end token: all have the full length

        return step, state, prompt

    @jax.jit
    def cached(variables):
        return generate(*begin(variables), keys, tokens=config.tokens, sampling=Sampling(temperature=0.0)).tokens

    @jax.jit
    def searched(variables):
        return beam_search(*begin(variables), tokens=config.tokens, beams=BEAMS, eos=VOCABULARY - 1).tokens[:, 0]

    @jax.jit
    def recomputed(variables):
        encoded = model.apply(variables, source, method="encode")
        written = jnp.zeros((rows, config.tokens + 1), jnp.int32)

        def write(n, written, length):
            logits, _ = model.apply(variables, written[:, :length], encoded, method="decode")
            return written.at[:, n + 1].set(jnp.argmax(logits[:, n, :-1], axis=-1).astype(jnp.int32))

        for start in range(0, config.tokens, CHUNK):
            end = min(start + CHUNK, config.tokens)
            written = jax.lax.fori_loop(start, end, lambda n, written, end=end: write(n, written, end), written)
        return written[:, 1:]

    calls = {"recomputed": recomputed, "cached": cached, f"beam {BEAMS}": searched}
    bound = {name: lambda call=call: jax.block_until_ready(call(variables)) for name, call in calls.items()}
    return bound, count_parameters(model)


def main(config: Config) -> None:
    archs = figures.parse_names("arch", config.archs, ("transformer", "bahdanau", "luong", "none"))
    batches = [n for (n,) in figures.parse_sizes("--batches", config.batches, ("sentences",), "1,64")]
    import numpy as np

    head = figures.describe(tokens=config.tokens, rounds=config.rounds)
    figured = []
    for arch, rows in ((arch, rows) for arch in archs for rows in batches):
        calls, parameters = make_calls(config, arch, rows)
        cached, recomputed = (np.asarray(calls[name]()) for name in ("cached", "recomputed"))
        differ, case = int((cached != recomputed).sum()), f"{arch}, batch {rows}"
        print(f"{case}, {parameters:,} parameters: {differ} of {cached.size} cached tokens differ from recomputed ones")
        calls[f"beam {BEAMS}"]()
        for name, timed in timing.interleave(calls, config.rounds).items():
            figured.append({"case": case, "who": name, **figures.measured(timed), "tokens": rows * config.tokens})
    columns = {"tokens/s": lambda r: f"{1e3 * r['tokens'] / r['milliseconds']:,.0f}"}
    columns["time / full passes"] = figures.relative(figured, "recomputed")
    figures.publish("decoding", head, figured, columns, save=config.save)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
