"""Trains a model to translate, measures it on pairs it has not seen, and translates with it.

python -m experiments.translate --arch transformer
python -m experiments.translate --workdir runs/translate/... --translate "lundi 3 mai 2021"

Five minutes on two CPU cores; of pairs it has not seen, expect 98.9 % to be translated exactly by the Transformer and
98.6 % with Bahdanau's attention.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

from experiments import cli, runs
from nlpx.config import TrainConfig, flat
from nlpx.errors import InputError

EXPERIMENT = "translate"
NOT_TRAINING = ("workdir", "beams", "length_penalty", "translate", "attention_map", "checkpoint", "beside")
MODEL = (
    "arch",
    "cell",
    "layers",
    "width",
    "heads",
    "hidden",
    "positions",
    "norm",
    "activation",
    "bidirectional",
    "reverse_source",
    "score",
    "tied",
    "dropout",
)


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Model"""

    arch: Literal["rnn", "rnn-bahdanau", "rnn-luong", "transformer"] = "transformer"
    """Recurrent encoder and decoder without attention, with Bahdanau's, with Luong's; or attention alone."""
    cell: Literal["elman", "lstm", "gru"] = "gru"
    """Of the recurrent ones."""
    layers: int | None = None
    """Layers of the encoder, and of the decoder; if not given, 2 of a Transformer and 1 of the recurrent ones."""
    width: int | None = None
    """Features of the embedding and of every layer; if not given, 128 of a Transformer, 192 of the recurrent ones."""
    heads: int = 4
    """Attention heads (Transformer); they share the width."""
    hidden: int | None = None
    """Features inside the Transformer's feed-forward networks; 4 x width if not given."""
    positions: Literal["none", "sinusoidal", "learned", "rotary"] = "rotary"
    """Position codes (Transformer); rotary ones turn what self- and cross-attention compare."""
    norm: Literal["pre", "post"] = "pre"
    """Where a Transformer block normalizes: before each part, or after the sum."""
    activation: Literal["gelu", "relu", "swiglu"] = "relu"
    """Nonlinearity of the Transformer's feed-forward networks."""
    bidirectional: bool = True
    """Let a recurrent encoder read in both directions."""
    reverse_source: bool = False
    """Read the source from its end (recurrent encoders)."""
    score: Literal["dot", "general", "concat"] = "general"
    """How Luong's attention compares."""
    tied: bool = True
    """Use one table for the source's embedding, the target's, and the logits."""
    dropout: float = 0.1
    """Probability of zeroing a value."""

    def sized(self) -> "Seq2SeqConfig":
        """With the sizes that depend on the architecture filled in."""
        sizes = {"layers": 2, "width": 128} if self.arch == "transformer" else {"layers": 1, "width": 192}
        return replace(self, **{name: size for name, size in sizes.items() if getattr(self, name) is None})


@dataclass(frozen=True)
class PairsConfig:
    """Data"""

    data: str = "cldr"
    """cldr[:fr-en] (built in), file:TRAIN.fr,TRAIN.en, file:PAIRS.tsv (source, tab, target), or tfds:NAME/fr-en."""
    valid: str | None = None
    """Pairs to validate on, as --data; if not given, some of --data held out."""
    test: str | None = None
    """Pairs to report on, as --data; if not given, some of --data held out."""
    lowercase: bool = False
    """Write everything in lower case."""
    tokenizer: Literal["char", "byte", "word", "bpe"] = "bpe"
    """What a token is; one vocabulary for both languages, of the training pairs."""
    vocab_size: int = 2000
    """Most tokens that word and bpe know."""
    max_length: int = 100
    """Longest sentence in tokens."""
    too_long: Literal["skip", "cut"] = "skip"
    """What becomes of longer training pairs; how many there were is printed."""
    buckets: int = 4
    """Lengths that batches are padded to; every one is compiled."""
    label_smoothing: float = 0.0
    """Weight of the uniform distribution in the training targets."""
    scheduled_sampling: float = 0.0
    """Probability, at the last step, that the decoder reads its own token in training; rises linearly from 0."""


@dataclass(frozen=True)
class DecodingConfig:
    """Decoding"""

    beams: int = 4
    """Hypotheses kept at every token; 1 is greedy."""
    length_penalty: float = 0.6
    """Hypotheses score their log-probability by ((5 + tokens) / 6) to this power; 0 prefers short ones."""
    checkpoint: Literal["best", "latest"] = "best"
    """The one of the lowest validation loss, or the last one."""
    beside: str | None = None
    """Workdirs of finished runs, with commas, to draw beside this one by source length."""
    translate: str | None = None
    """Train nothing: translate this with the model in --workdir; - translates the lines of the standard input."""
    attention_map: str | None = None
    """With --translate: write the attention of the (first) translation to this PNG."""


@dataclass(frozen=True)
class Config:
    """Flags of this experiment."""

    model: Seq2SeqConfig = field(default_factory=Seq2SeqConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    train: TrainConfig = field(
        default_factory=lambda: TrainConfig(
            steps=3100, batch_size=64, learning_rate=2e-3, weight_decay=0.01, beta2=0.98, eval_every=500
        )
    )
    decoding: DecodingConfig = field(default_factory=DecodingConfig)


class Translated(NamedTuple):
    """One translation."""

    text: str
    score: float
    """Log-probability by the length penalty, nats."""
    tokens: Any
    """Its token ids, without the end token."""


def make_model(fields: dict[str, Any], tokenizer: Any):
    """The model that the flags of a run describe; after the tokenizer's tokens come those that begin and end."""
    import jax.numpy as jnp

    from nlpx.models import Seq2Seq

    return Seq2Seq(
        tokenizer.vocab_size + 2,
        # A sentence has an end token too; and what is written may be longer than what was read.
        max_length=2 * fields["max_length"] + 2,
        dtype=jnp.dtype(fields["dtype"]),
        **{name: fields[name] for name in MODEL},
    )


def load(workdir: Path, *, best: bool = True) -> runs.Trained:
    """The trained model of a workdir: its best checkpoint, or its latest."""
    import jax.numpy as jnp

    token = jnp.zeros((1, 1), jnp.int32)
    return runs.load(workdir, EXPERIMENT, make_model, token, token, best=best)


class Translator:
    """Translates with a trained model; one program is compiled for each length that sentences are padded to."""

    def __init__(self, trained: runs.Trained, *, beams: int, length_penalty: float, batch_size: int = 64):
        import jax

        from nlpx.decode import beam_search

        self._trained, self._batch_size = trained, batch_size
        model = trained.model
        self._bos, self._eos = trained.tokenizer.vocab_size, trained.tokenizer.vocab_size + 1

        def search(params, source, mask):
            variables = {"params": params}
            limit = self.limit(source.shape[1])
            encoded = model.apply(variables, source, mask, method="encode")

            def step(tokens, state, mask):
                return model.apply(variables, tokens, encoded, state=state, mask=mask, method="decode")

            state = model.apply(variables, encoded, limit, method="initial_state")
            prompt = jax.numpy.full((source.shape[0], 1), self._bos)
            found = beam_search(
                step, state, prompt, tokens=limit, beams=beams, eos=self._eos, length_penalty=length_penalty
            )
            return jax.tree.map(lambda leaf: leaf[:, 0], found)

        self._search = jax.jit(search)

    def limit(self, length: int) -> int:
        """The most tokens to write for a source padded to this length."""
        return min(2 * length + 8, self._trained.model.longest or 2 * length + 8)

    def encode(self, sentence: str) -> Any:
        """A sentence's tokens.

        Raises:
          ValueError: there is none, or none that the model knows; or more than it has positions for.
        """
        tokenizer = self._trained.tokenizer
        tokens = tokenizer.encode(sentence.lower() if self._trained.config["lowercase"] else sentence)
        if not len(tokens):
            raise InputError("there is nothing to translate: give a sentence")
        if tokenizer.kind == "word" and not tokens.any():
            raise InputError(f"no word of {sentence!r} is in the vocabulary of this model: give other words")
        longest = self._trained.model.longest
        if longest is not None and len(tokens) >= longest:
            raise InputError(f"{sentence[:40]!r}... has {len(tokens)} tokens, the model's positions end at {longest}")
        return tokens

    def __call__(self, sources: Sequence[Any]) -> list[Translated]:
        """The best translation of each source, given in tokens."""
        import numpy as np

        from nlpx import data

        found: dict[int, Translated] = {}
        lengths, longest = [8], max(map(len, sources)) + 1
        while lengths[-1] < longest:
            lengths.append(2 * lengths[-1])
        pairs = data.EncodedPairs(list(sources), [np.zeros(0, np.int32)] * len(sources), {})
        batches = data.evaluation_pairs(
            pairs,
            batch_size=min(self._batch_size, len(sources)),
            lengths=tuple(lengths),
            bos=self._bos,
            eos=self._eos,
        )
        for batch in batches:
            result = self._search(self._trained.params, batch["source"], batch["source_mask"])
            for index, tokens, length, score in zip(batch["index"], *map(np.asarray, result), strict=True):
                if index >= 0:
                    ids = tokens[:length]
                    text = self._trained.tokenizer.decode(ids[ids < self._bos])
                    # One line, whatever is written: line ends are tokens too.
                    found[int(index)] = Translated(" ".join(text.split()), float(score), ids)
        return [found[index] for index in range(len(sources))]

    def attention(self, source: Any, target: Any) -> tuple[Any, list[str], list[str]]:
        """The weights of each source word (their pieces' sum) for each target word (their pieces' mean), and the words.

        Raises:
          ValueError: a model without attention.
        """
        import jax.numpy as jnp
        import numpy as np

        from nlpx.models import attention_weights

        source, target = np.append(source, self._eos), np.append(target, self._eos)
        read = np.append(self._bos, target[:-1])
        tokens = (jnp.asarray(each[None], jnp.int32) for each in (source, read))
        weights = attention_weights(self._trained.model, {"params": self._trained.params}, *tokens)
        (of_source, sources), (of_target, targets) = self._words(source), self._words(target)
        pieces_to_words = of_target / of_target.sum(axis=1, keepdims=True)
        return pieces_to_words @ np.asarray(weights[0]) @ of_source.T, sources, targets

    def _words(self, tokens: Any) -> tuple[Any, list[str]]:
        """Which tokens belong to which word (words, tokens), and the words."""
        import numpy as np

        tokenizer = self._trained.tokenizer
        groups: list[list[int]] = []
        for token in tokens:
            known = token < self._bos
            begins = not known or tokenizer.kind == "word" or tokenizer.decode([token])[:1].isspace()
            if begins or not groups:
                groups.append([])
            groups[-1].append(int(token))
        belongs = np.zeros((len(groups), len(tokens)))
        at = 0
        for word, group in enumerate(groups):
            belongs[word, at : at + len(group)] = 1
            at += len(group)
        names = ["</s>" if g[0] >= self._bos else tokenizer.decode(g).strip() or "␣" for g in groups]
        return belongs, names


def check_decoding(decoding: DecodingConfig, vocab_size: int) -> None:
    """Says before the training what would only be found after it."""
    from nlpx.train.workdir import read_json

    if not 1 <= decoding.beams <= vocab_size:
        raise InputError(f"--beams must be from 1 to the {vocab_size} tokens of the vocabulary, not {decoding.beams}")
    for each in decoding.beside.split(",") if decoding.beside else ():
        if "test" not in read_json(Path(each) / "summary.json"):
            raise InputError(f"--beside {each} is no finished run of {EXPERIMENT}: give another folder")


def run(config: Config) -> dict[str, Any]:
    """Trains to the end, or goes on where the run in the workdir stopped; measures, and writes the summary."""
    import math

    from nlpx.train import workdir as folder
    from nlpx.train.cpu import use_cpu_devices

    use_cpu_devices(config.train.mesh)
    from nlpx import data
    from nlpx.text import load_tokenizer, train_tokenizer
    from nlpx.train import Engine, Translation, train

    given, options = config.pairs, config.train
    pairs = data.load_pairs(
        given.data, valid_spec=given.valid, test_spec=given.test, lowercase=given.lowercase, seed=options.seed
    )
    fields = {
        "experiment": EXPERIMENT,
        **flat(replace(config, model=config.model.sized())),
        "data_sha256": pairs.sha256,
    }
    fields = {name: value for name, value in fields.items() if name not in NOT_TRAINING}
    workdir = Path(options.workdir) if options.workdir else runs.default_workdir(EXPERIMENT, fields)
    folder.check(workdir, fields)
    new = not (workdir / "tokenizer.json").exists()
    if new:
        corpus = "\n".join(text for pair in pairs.train for text in pair)
        tokenizer = train_tokenizer(given.tokenizer, corpus, vocab_size=given.vocab_size)
    else:
        tokenizer = load_tokenizer(workdir)
    model = make_model(fields, tokenizer)
    check_decoding(config.decoding, model.vocab_size)
    # Every test pair counts: a long one is cut only where the model has no positions for it.
    keep = (
        {"max_length": model.longest - 1, "too_long": "cut"} if model.longest else {"max_length": 1, "too_long": "keep"}
    )
    limits = {"train": {"max_length": given.max_length, "too_long": given.too_long}, "validation": keep, "test": keep}
    encoded = {part: data.encode_pairs(getattr(pairs, part), tokenizer, **limit) for part, limit in limits.items()}
    lengths = data.choose_lengths(encoded["train"].sources, encoded["train"].targets, given.buckets)
    longest = 1 + max(len(side) for each in encoded.values() for side in (*each.sources, *each.targets))
    task = Translation(model, given.label_smoothing, given.scheduled_sampling, options.steps)
    engine = Engine(task, options)
    # Eight of whatever the devices are, so that up to eight of them see the same batches.
    multiple = math.lcm(8, engine.mesh.shape["data"] * options.grad_accumulation)
    shape = {"bos": tokenizer.vocab_size, "eos": tokenizer.vocab_size + 1}

    def rows(lengths: tuple[int, ...]) -> dict[str, Any]:
        sides = encoded["train"].sources, encoded["train"].targets
        sizes = data.rows_of_equal_work(*sides, lengths, batch_size=options.batch_size, multiple=multiple)
        return {"lengths": lengths, "batch_size": sizes, **shape}

    batches = data.pair_batches(encoded["train"], seed=options.seed, **rows(lengths))
    wide = lengths if longest <= lengths[-1] else (*lengths, longest)
    evaluation = data.evaluation_pairs(encoded["validation"], **rows(wide))

    def describe(loss: float, tokens: int) -> dict[str, float]:
        return {"perplexity": math.exp(min(loss, 700))}

    folder.prepare(workdir, fields)
    if new:
        tokenizer.save(workdir)
    for part, each in (("loading", pairs), *encoded.items()):
        for why, count in each.dropped.items():
            print(f"{part}: {count:,} pairs left out or cut: {why}")
    print(
        f"{config.model.arch} on {pairs.name}: {len(encoded['train'].sources):,} training pairs, "
        f"vocabulary of {tokenizer.vocab_size:,}, padded to {', '.join(map(str, lengths))} tokens, workdir {workdir}",
        flush=True,
    )
    result = train(engine, workdir=workdir, batches=iter(batches), evaluation=lambda: evaluation, describe=describe)
    trained = load(workdir, best=config.decoding.checkpoint == "best")
    measured = measure(trained, pairs.test, encoded["test"], config, workdir)
    summary = {
        "experiment": EXPERIMENT,
        "arch": config.model.arch,
        **{name: value for name, value in vars(result).items() if name != "params"},
        "data": {
            "name": pairs.name,
            "sha256": pairs.sha256,
            **{part: len(each.sources) for part, each in encoded.items()},
            "dropped": {"loading": pairs.dropped, **{part: each.dropped for part, each in encoded.items()}},
        },
        "test": measured,
        "checkpoint": trained.step,
        "workdir": str(workdir),
    }
    folder.write_json(workdir / "summary.json", summary)
    draw(summary, config, workdir)
    return summary


def measure(trained: runs.Trained, pairs: Any, encoded: Any, config: Config, workdir: Path) -> dict[str, Any]:
    """Translates the test pairs, writes translations.tsv, and gives the figures."""
    import time

    from nlpx import metrics, plots

    translator = Translator(trained, beams=config.decoding.beams, length_penalty=config.decoding.length_penalty)
    start = time.perf_counter()
    translations = translator(encoded.sources)
    seconds = time.perf_counter() - start
    texts = [translated.text for translated in translations]
    references = [target for _, target in pairs]
    lines = (
        f"{source}\t{target}\t{translated.text}\t{translated.score:.4f}\n"
        for (source, target), translated in zip(pairs, translations, strict=True)
    )
    (workdir / "translations.tsv").write_text(
        "source\treference\ttranslation\tscore\n" + "".join(lines), encoding="utf-8"
    )
    if trained.model.arch != "rnn":
        ordered = sorted(range(len(texts)), key=lambda index: len(encoded.sources[index]))
        for part in (0.5, 0.95):  # a sentence of middling length, and a long one
            index = ordered[int(part * (len(ordered) - 1))]
            weights, *words = translator.attention(encoded.sources[index], translations[index].tokens)
            plots.plot_attention(weights, *words, workdir / "plots" / f"attention_{len(words[0])}_words.png")
    lengths = [len(source) for source in encoded.sources]
    return {
        **metrics.translation_metrics(texts, references),
        "by_length": metrics.metrics_by_length(lengths, texts, references),
        "beams": config.decoding.beams,
        "length_penalty": config.decoding.length_penalty,
        "seconds": seconds,
    }


def draw(summary: dict[str, Any], config: Config, workdir: Path) -> None:
    """Loss curves, and the test figures by source length, those of other runs beside them."""
    from nlpx import plots
    from nlpx.train import workdir as folder

    for x in ("step", "seconds"):
        records = {config.model.arch: folder.read_metrics(workdir)}
        plots.plot_losses(records, workdir / "plots" / f"loss_by_{x}.png", x=x)
    others = [
        folder.read_json(Path(each) / "summary.json") for each in (config.decoding.beside or "").split(",") if each
    ]
    groups = {f"{each['arch']}": each["test"]["by_length"] for each in (*others, summary)}
    for value in ("exact_match", "bleu"):
        plots.plot_by_length(groups, workdir / "plots" / f"{value}_by_length.png", value)


def translate(config: Config) -> None:
    """Translates with a trained workdir, a line a sentence."""
    decoding = config.decoding
    if config.train.workdir is None:
        raise InputError("--translate needs the run to translate with: give its folder as --workdir")
    trained = load(Path(config.train.workdir), best=decoding.checkpoint == "best")
    from nlpx import plots

    lines = [line.rstrip("\n") for line in sys.stdin] if decoding.translate == "-" else [decoding.translate]
    translator = Translator(trained, beams=decoding.beams, length_penalty=decoding.length_penalty)
    full = [index for index, line in enumerate(lines) if line.strip()]
    sources = [translator.encode(lines[index]) for index in full]
    if not sources:
        raise InputError("there is nothing to translate: give a sentence")
    translations = dict(zip(full, translator(sources), strict=True))
    for index in range(len(lines)):  # an empty line stays one, so that lines keep their numbers
        found = translations.get(index)
        print(f"{found.text}\t{found.score:.4f}" if found else "")
    if decoding.attention_map:
        weights, *words = translator.attention(sources[0], translations[full[0]].tokens)
        plots.plot_attention(weights, *words, Path(decoding.attention_map))
        print(f"attention: {decoding.attention_map}", file=sys.stderr)


def main(config: Config) -> None:
    if config.decoding.translate is not None:
        translate(config)
        return
    summary = run(config)
    test = summary["test"]
    print(
        f"{summary['arch']}: {summary['parameters']:,} parameters, {summary['tokens']:,} target tokens in "
        f"{summary['seconds']:.0f} s ({summary['tokens_per_second']:,.0f} tokens/s)\n"
        f"validation loss {summary['eval_loss']:.4f} nats/token, perplexity {summary['metrics']['perplexity']:.3f}\n"
        f"test, {summary['data']['test']:,} pairs in {test['seconds']:.0f} s: exact {100 * test['exact_match']:.1f} %  "
        f"BLEU {test['bleu']:.1f}  chrF {test['chrf']:.1f}  tokenised BLEU {test['tokenized_bleu']:.1f}\n"
        f"BLEU {test['signatures']['bleu']}\nchrF {test['signatures']['chrf']}"
    )
    for group in test["by_length"]:
        print(
            f"  source of {group['from']} to {group['to']} tokens: {group['count']} pairs, "
            f"exact {100 * group['exact_match']:.1f} %, BLEU {group['bleu']:.1f}"
        )
    print(f"summary, translations, plots and checkpoints in {summary['workdir']}")


if __name__ == "__main__":
    cli.run(main, Config, __doc__)
