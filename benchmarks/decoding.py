"""How fast a translation model writes, with a cache, without and with beams; or GPT-2, against transformers.

python -m benchmarks.decoding
python -m benchmarks.decoding --peers transformers

A Transformer and a GRU with Bahdanau's attention, untrained; cached tokens are compared with full passes' ones. About 8
minutes on two CPU cores. With peers: GPT-2 small, after 64 tokens, and transformers with its cache; different tokens
stop it with exit code 1. The ceiling is the speed of reading memory, as a token needs all weights. About 6 minutes.
"""

import itertools
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

from benchmarks import figures, timing
from experiments import cli
from nlpx.config import setting

LAYERS, SOURCE, BEAMS, VOCABULARY = 3, 32, 4, 6000
"""Of the Transformer's encoder, and of its decoder; tokens of a source; of a search; with those that begin and end."""
GPT2, PROMPT = {}, 64
"""Settings of transformers besides the defaults, which are those of GPT-2 small; tokens that it goes on from."""
CHUNK = 16  # a full pass reads the tokens so far, up to a multiple of this: so many programs, none much too long


@dataclass(frozen=True)
class Config(figures.Flags):
    """Decoding"""

    archs: str = "transformer,bahdanau"
    """Models to time: transformer, or a GRU with attention by bahdanau, luong or none."""
    peers: str = "none"
    """Against whom GPT-2 writes: transformers; none: translation models write."""
    batches: str | None = None
    """Sentences side by side; 1,64 if not given, of GPT-2 1,8."""
    tokens: int = setting(128, "[2, inf)")
    """Tokens to write."""
    rounds: int = setting(5, "[2, inf)")
    """Turns of each."""
    width: int = setting(256, "[1, inf)")
    """Features. Feed-forward networks have twice as many, attention heads 32 each."""


def translation_calls(config: Config, arch: str, rows: int) -> tuple[dict[str, Any], int]:
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

    def cached(variables):
        return generate(*begin(variables), keys, tokens=config.tokens, sampling=Sampling(temperature=0.0)).tokens

    def searched(variables):
        return beam_search(*begin(variables), tokens=config.tokens, beams=BEAMS, eos=VOCABULARY - 1).tokens[:, 0]

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

    calls = {"recomputed": jax.jit(recomputed), "cached": jax.jit(cached), f"beam {BEAMS}": jax.jit(searched)}
    calls = {who: lambda call=call: jax.block_until_ready(call(variables)) for who, call in calls.items()}
    return calls, count_parameters(model)


def gpt2_calls(config: Config, rows: int) -> tuple[dict[str, Any], int]:
    """As `translation_calls`, of GPT-2 with characters as tokens: nlpx's Writer, and `generate` with its cache."""
    import jax
    import numpy as np
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from nlpx import predict
    from nlpx.decode import Sampling
    from nlpx.interop import huggingface
    from nlpx.text import CharTokenizer

    torch.set_num_threads(timing.cores())
    theirs = GPT2LMHeadModel(GPT2Config(**GPT2)).eval()
    theirs.transformer.wpe.weight.data *= 10  # or the same token would be written again and again
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        model, variables, _ = huggingface.load(folder)
    tokenizer = CharTokenizer("".join(map(chr, range(model.vocab_size))))
    writer = predict.Writer(predict.Trained(model, variables["params"], tokenizer, {}, 0), Sampling(temperature=0.0))
    read = torch.randint(model.vocab_size, (rows, PROMPT), generator=torch.Generator().manual_seed(0))
    texts = [tokenizer.decode(row) for row in read.numpy()]
    how = {"attention_mask": torch.ones_like(read), "eos_token_id": None, "pad_token_id": 0}
    how |= {"max_new_tokens": config.tokens, "do_sample": False}

    def write(piece: int) -> Any:
        *_, written = writer.stream(texts, tokens=config.tokens, piece=piece)
        return np.array([tokenizer.encode(text) for text in written])

    calls = {"nlpx": lambda: write(config.tokens), "nlpx, token by token": lambda: write(1)}
    calls["transformers"] = lambda: theirs.generate(read, **how)[:, PROMPT:].numpy()
    needed = {**variables["params"], "position": ()}  # of the positions one is read
    return calls, sum(leaf.size for leaf in jax.tree.leaves(needed))


def main(config: Config) -> None:
    archs = cli.parse_names("arch", config.archs, ("transformer", "bahdanau", "luong", "none"))
    example = "1,64" if config.peers == "none" else "1,8"
    batches = [n for (n,) in cli.parse_sizes("--batches", config.batches or example, ("texts",), example)]
    peers = figures.parse_peers(config.peers, ("transformers",))
    if config.peers != "none" and not peers:
        return
    import numpy as np

    figured, head = [], figures.describe(("torch", *peers) if peers else (), tokens=config.tokens, rounds=config.rounds)
    if peers:
        head["gigabytes_per_second"] = top = timing.measure_reading()
        print(f"ceiling of writing: a token reads all parameters, at {top} GB/s")
    for arch, rows in itertools.product(("GPT-2",) if peers else archs, batches):
        calls, parameters = gpt2_calls(config, rows) if peers else translation_calls(config, arch, rows)
        written = {who: np.asarray(call()) for who, call in calls.items()}
        first, *others = (tokens for who, tokens in written.items() if not who.startswith("beam"))
        differ, case = sum(int((tokens != first).sum()) for tokens in others), f"{arch}, batch {rows}"
        print(f"{case}, {parameters:,} parameters: {differ} of {len(others) * first.size} tokens differ")
        if peers and differ:
            sys.exit(1)
        for who, timed in timing.interleave(calls, config.rounds, warm=1.0).items():
            figured.append(row := {"case": case, "who": who, **figures.measured(timed), "tokens": rows * config.tokens})
            if peers:
                row["share"] = float(f"{4e-6 * parameters * config.tokens / top / row['milliseconds']:.3g}")
    bases = ("nlpx",) if peers else ("recomputed", "cached")
    columns = {f"time / {base}": figures.relative(figured, base) for base in bases}
    figures.publish("decoding_gpt2" if peers else "decoding", head, figured, columns, save=config.save)
    for row in (row for row in figured if row["who"].startswith("beam")):
        print(f"{BEAMS} beams / greedy, {row['case']}: {columns['time / cached'](row)}")
    for peer in peers:
        figures.print_speed(peer, figured)


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
