"""The recipe that all runs share: a workdir, a tokenizer, training with resume, a summary and curves; and its loading.

An experiment builds the parts between these steps, and measures the result:

    run = Run("language_model", config)   # devices, before JAX starts
    run.open(text)                        # which workdir; nothing is written before everything is checked
    tokenizer = run.tokenizer(config.text, text.train, text.validation)
    model = run.build(vocab_size=tokenizer.vocab_size)
    engine = Engine(LanguageModelling(model), config.train)
    summary = run.train(engine, batches=..., evaluation=..., amounts={"train": ..., "eval": ...})
    run.finish(summary)
"""

import dataclasses
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import jax

from nlpx import data, plots, processes
from nlpx.config import OWN, CorpusConfig, DataConfig, ExamplesConfig, TokenConfig, training_settings
from nlpx.errors import InputError
from nlpx.json_files import read_json, write_json
from nlpx.text import Tokenizer, load_tokenizer, read_vectors, train_tokenizer
from nlpx.train import lora
from nlpx.train import workdir as folder
from nlpx.train.checkpoint import checksum
from nlpx.train.cpu import suited, use_cpu_devices
from nlpx.train.head_only import WithFeatures, encode
from nlpx.train.loop import Describe, Engine, HostBatch, train
from nlpx.train.sharding import ROWS, over_processes
from nlpx.train.start import Parts, Start, read_start
from nlpx.train.trained import Trained, load
from nlpx.train.vectors import coverage, coverage_line, with_vectors


@runtime_checkable
class Source(Protocol):
    """What a run needs to know of its data."""

    name: str
    sha256: str
    dropped: dict[str, int]
    """How many examples were left out on loading, by reason; none for a single text."""


def own_workdir(experiment: str, settings: Mapping[str, Any]) -> Path:
    """Return a folder under runs/ that depends on the settings alone, so that the same command finds its run again."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:8]
    return Path("runs") / experiment / f"{settings['model'].get('arch', experiment)}-{digest}"


class Run:
    """One run of an experiment, in its workdir.

    Args:
      experiment: its name.
      config: a frozen dataclass with the groups `model` and `train` (see `nlpx.config`) and any others.
    """

    def __init__(self, experiment: str, config: Any):
        options = config.train
        processes.start(options.coordinator, options.num_processes, options.process_id)
        use_cpu_devices(options.mesh)
        self.experiment, self.config = experiment, config
        self.workdir, self._sizes = config.train.workdir and Path(config.train.workdir), {}
        self._settings, self._data, self._tokenizer = {}, None, None
        self._model, self._text = config.model, ""
        corpora = (group for group in vars(config).values() if isinstance(group, CorpusConfig))
        self._vectors_file, self._vectors = next((group.word_vectors for group in corpora), None), None
        groups = (group for group in vars(config).values() if isinstance(group, DataConfig))
        self.corrupt = data.skip_corrupt(next((group.skip_corrupt for group in groups), 0), _complain)
        """The corrupt records of what is read from now on, until `open`."""
        self._start: Start | None = None
        self._parts: Parts | None = None
        self._encoded = False
        self._dropped: dict[str, Mapping[str, int]] = {}
        self._unit = "nats"

    def open(self, source: Source) -> Any:
        """Choose the workdir, and check that this run may start or resume there. Writes nothing.

        Returns:
          The source, with `train_fraction` of its training examples if that is set.

        Raises:
          ValueError: see `workdir.check`.
        """
        data.skip_corrupt(None)
        corrupt = {"corrupt records": self.corrupt.count} if self.corrupt.count else {}
        self._data, self._dropped = source, {"loading": {**source.dropped, **corrupt}}
        about = {"experiment": self.experiment, "data_sha256": source.sha256}
        self._settings = {**about, **training_settings(self.config)}
        self.workdir = Path(self.config.train.workdir or own_workdir(self.experiment, self._settings))
        for group in self._settings.values():  # `build` enters the vectors themselves, which may lie elsewhere now
            if isinstance(group, dict):
                for name in ("word_vectors", "start_from"):
                    group.pop(name, None)
        folder.check(self.workdir, self._settings)
        self._shared = self.workdir
        if (group := processes.group()) is not None:
            options = dict.fromkeys(OWN) | {"workdir": str(self.workdir), "jax": jax.__version__}
            everything = {**self._settings, **dataclasses.asdict(self.config)}
            group.agree({**dict(folder.flat(everything)), **{f"train.{name}": options[name] for name in options}})
            self.workdir = folder.of_process(self.workdir)
        if (name := self.config.train.start_from) is not None:
            if self._vectors_file is not None:
                raise InputError(f"word_vectors and start_from {name} both give the words' vectors: leave one out")
            self._start = read_start(name, type(self.config.model))
        fraction = getattr(getattr(self.config, "data", None), "train_fraction", 1.0)
        return source if fraction == 1 else data.thinned(source, fraction, self.config.train.seed)

    def tokenizer(self, settings: TokenConfig, train: str, others: str) -> Tokenizer:
        """Return the tokenizer that this run made when it started, or a new one.

        The characters of the validation and test texts are in the vocabulary too, because an alphabet says nothing
        about a text. Words and pieces come from the training text alone.
        """
        corpus, kind = train + others if settings.tokenizer == "char" else train, settings.tokenizer
        return self.own_tokenizer(train, kind, lambda _: train_tokenizer(kind, corpus, vocab_size=settings.vocab_size))

    def own_tokenizer(self, train: str, kind: str, make: Callable[[str], Tokenizer]) -> Tokenizer:
        """Return the tokenizer of the model that this run starts from, the one that it made when it started, or a new
        one: `make` of the training text.

        Raises:
          ValueError: the model that it starts from has a tokenizer of another kind.
        """
        self._text = train
        if self._start is not None:
            self._start.check_tokenizer(kind)
            self._tokenizer = self._start.tokenizer
        elif (self.workdir / "tokenizer.json").exists():
            self._tokenizer = load_tokenizer(self.workdir)
        else:
            self._tokenizer = make(train)
        return self._tokenizer

    def build(self, **sizes: Any) -> Any:
        """Build the model by `config.model.build(**sizes)`; remember the sizes, so that `load` can build it again.

        With word vectors, its embedding is as wide as they are. The parameters of a model to start from are read here.

        Raises:
          ValueError: word vectors that cannot be read, or whose width is not the embedding's; a model to start from
            that does not fit.
        """
        self._settings |= {"vectors_sha256": None, "start_sum": None}
        self._sizes = sizes if self._start is None else self._start.sizes(sizes, type(self._model))
        if self._vectors_file is not None:
            self._vectors = read_vectors(self._vectors_file, self._tokenizer.words)
            self._settings["vectors_sha256"] = self._vectors.sha256
            self._model = self._as_wide_as_vectors()
        model = suited(self._model).build(**self._sizes)
        if self._start is not None:
            self._start.check(self._model)
            self._parts = self._start.parts(model)
            self._settings["start_sum"] = checksum(self._parts.taken)
        return model

    def _as_wide_as_vectors(self) -> Any:
        model, width = self.config.model, self._vectors.width
        if model.embedding_width not in (None, width):
            raise InputError(
                f"embedding_width {model.embedding_width} is not that of {self._vectors_file}, whose vectors have "
                f"{width} features: leave it out"
            )
        return model if width == model.width else dataclasses.replace(model, embedding_width=width)

    def encode(
        self,
        settings: ExamplesConfig,
        parts: Mapping[str, Mapping[str, Sequence[str]]],
        model: Any,
        *,
        whole: bool = True,
    ) -> dict[str, data.Encoded]:
        """Encode columns of texts as token ids, part by part ("train", "validation", "test").

        Training texts have a `max_length`. Every other text counts: it is cut only if the model has no positions for it
        and its end token; or, if `whole` is False, at `max_length`.

        A model with `copied_from` has ids for words that the vocabulary lacks: see `data.encode_texts`.
        """
        beyond = {"beyond": getattr(model, "copied_from", None)}
        longest = (model.longest and model.longest - 1) if whole else settings.max_length
        keep = {"max_length": longest, "too_long": "cut", **beyond}
        limits = {"train": {"max_length": settings.max_length, "too_long": settings.too_long, **beyond}}
        encoded = {
            part: data.encode_texts(texts, self._tokenizer, **limits.get(part, keep)) for part, texts in parts.items()
        }
        self._dropped |= {part: each.dropped for part, each in encoded.items()}
        return encoded

    def note(self, dropped: Mapping[str, Mapping[str, int]]) -> None:
        """Note how many examples were left out or cut, by part and reason, for the summary and the terminal."""
        self._dropped |= dropped

    def bucketed(
        self, engine: Engine, train: data.Columns, valid: data.Columns, buckets: int
    ) -> tuple[Any, Iterable[HostBatch]]:
        """Make training and validation batches of examples in buckets of similar length.

        All batches are about equally large, padding included, with `batch_size` rows on average. With several buckets,
        rows come in multiples of eight, so that up to eight devices see the same batches.
        """
        lengths = data.bucket_lengths(train, buckets)
        longest = data.bucket_lengths(valid, 1)[-1]
        wide = lengths if longest <= lengths[-1] else (*lengths, longest)
        options = self.config.train
        devices = math.prod(engine.mesh.shape[axis] for axis in ROWS)
        multiple = math.lcm(8, devices * options.grad_accumulation)
        size = {"batch_size": options.batch_size, "multiple": multiple}
        rows, more = (data.rows_of_equal_work(train, each, **size) for each in (lengths, wide))
        batches = data.training_batches(train, lengths=lengths, batch_size=rows, seed=options.seed)
        evaluation = data.evaluation_batches(valid, lengths=wide, batch_size=more)
        if options.head_only:
            params, begin = engine.init().params, self._begin
            params = params if begin is None else begin(params)
            once = data.evaluation_batches(train, lengths=lengths, batch_size=rows)
            self._encoded = True
            batches = WithFeatures(batches, encode(engine, params, once))
            evaluation = WithFeatures(evaluation, encode(engine, params, evaluation))
        return batches, evaluation

    @property
    def _begin(self) -> Callable[[Any], Any] | None:
        """What makes the first parameters of the task's own, if they are other ones."""
        if self._vectors is not None:
            return partial(with_vectors, vectors=self._vectors)
        return None if self._parts is None else self._parts.fill

    def train(
        self,
        engine: Engine,
        *,
        batches: Iterable[HostBatch],
        evaluation: Iterable[HostBatch],
        describe: Describe | None = None,
        amounts: Mapping[str, int],
    ) -> dict[str, Any]:
        """Train to the end, from where this run stopped if it did.

        Args:
          batches: endless, with a Grain iterator.
          evaluation: batches of the validation set, in order.
          describe: makes the validation's figures besides the mean loss; None leaves them to the task.
          amounts: the amount of data, by part.

        Returns:
          The summary, which `finish` writes.

        Raises:
          ValueError, DivergedError, Interrupted: see `nlpx.train.train`.
        """
        if self.config.train.head_only and not self._encoded:
            raise InputError(f"head_only keeps the features of examples, and {self.experiment} has none: leave it out")
        with folder.locked(self.workdir):
            more = self._announce(engine, amounts)
            over_processes(True)  # until process 0 has made the folder
            result = train(
                engine,
                workdir=self.workdir,
                batches=iter(getattr(batches, "cuts", batches)),
                evaluation=lambda: getattr(evaluation, "cuts", evaluation),
                describe=describe,
                begin=self._begin,
            )
        return {
            "experiment": self.experiment,
            "arch": self._model.arch,
            **{name: value for name, value in vars(result).items() if name != "params"},
            "units": {"loss": engine.task.unit, "tokens": f"{engine.task.read}s"},
            "data": {"name": self._data.name, "sha256": self._data.sha256, **amounts, "dropped": self._dropped},
            "corrupt_records": self.corrupt.count,
            **more,
            "optimizer_bytes": engine.optimizer_bytes,
            "workdir": str(self._shared),
        }

    def _announce(self, engine: Engine, amounts: Mapping[str, int]) -> dict[str, Any]:
        """Write what `load` needs into the workdir, say what is trained on what, and return what the summary tells of
        the start."""
        folder.prepare(self.workdir, self._settings, {**self._settings, **dataclasses.asdict(self.config)})
        if self._tokenizer is not None:
            self._tokenizer.save(self.workdir)
        model, self._unit = self._model, f"{engine.task.unit} per {engine.task.counted}"
        about = {"config": type(model).__name__, "settings": dataclasses.asdict(model), "sizes": self._sizes}
        about["tokenizer"] = self._tokenizer is not None
        options = self.config.train
        if options.lora is not None:
            kernels = options.lora_kernels or lora.KERNELS
            about["lora"] = {"rank": options.lora, "alpha": options.lora_alpha, "kernels": kernels}
        write_json(self.workdir / "model.json", about)
        for part, reasons in self._dropped.items():
            for why, count in reasons.items():
                print(f"{part}: {count:,} left out or cut: {why}")
        more = {}
        if self._vectors is not None:
            more = {"vectors": coverage(self._vectors, self._tokenizer, self._text)}
            print(coverage_line(more["vectors"]))
            if doubled := self._vectors.doubled:
                print(f"vectors: {len(doubled):,} words appear more than once, as {doubled[0]!r}: the first counts")
        if self._parts is not None:
            more = {"start": self._parts.told}
            print(self._parts.lines())
        trained = engine.parameters - engine.frozen
        memory = f"optimizer state {engine.optimizer_bytes / 1e6:,.2f} MB"
        print(f"trained: {trained:,} of {engine.parameters:,} parameters, {memory}")
        how_much = ", ".join(f"{amount:,} {name}" for name, amount in amounts.items())
        print(f"{model.arch} on {self._data.name}: {how_much}, workdir {self.workdir}", flush=True)
        return more

    def trained(self) -> "Trained":
        """Load the workdir's model, from the checkpoint named by `config.use`."""
        return load(self.workdir, self.experiment, best=self.config.use.checkpoint == "best")

    def finish(self, summary: dict[str, Any], **measured: Any) -> dict[str, Any]:
        """Write the summary, with any further measurements, and the loss curves."""
        summary = {**summary, **measured}
        write_json(self.workdir / "summary.json", summary)
        records = {summary["arch"]: folder.read_metrics(self.workdir)}
        for x in ("step", "seconds"):
            plots.plot_losses(records, self.workdir / "plots" / f"loss_by_{x}.png", x=x, unit=self._unit)
        return summary


def _complain(message: str) -> None:
    if processes.is_first():
        print(message, file=sys.stderr, flush=True)


def headline(summary: Mapping[str, Any]) -> str:
    """Sum up a run's cost and results in two lines."""
    metrics = "  ".join(f"{name} {value:.4f}" for name, value in summary["metrics"].items())
    units = summary.get("units", {"loss": "nats", "tokens": "tokens"})
    read = units["tokens"]
    speed = f" ({summary['tokens_per_second']:,.0f} {read}/s)" if summary["tokens_per_second"] else ""
    return (
        f"{summary['arch']}: {summary['parameters']:,} parameters, {summary['tokens']:,} {read} in "
        f"{summary['seconds']:.0f} s{speed}\n"
        f"validation loss {summary['eval_loss']:.4f} {units['loss']}  {metrics}"
    )


def read_summaries(workdirs: str | None, experiment: str) -> list[dict[str, Any]]:
    """Read the summaries of finished runs, whose folders are separated by commas.

    Raises:
      ValueError: a folder without a finished run of the experiment.
    """
    summaries = [read_json(Path(each) / "summary.json") for each in (workdirs or "").split(",") if each]
    for each in summaries:
        if each.get("experiment") != experiment:
            raise InputError(f"{each.get('workdir')} is no run of {experiment}: give another folder")
    return summaries
