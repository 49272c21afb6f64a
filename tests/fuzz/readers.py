"""The readers of what a user or a stranger wrote, with whole examples to damage."""

import contextlib
import dataclasses
import gzip
import io
import json
import re
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from PIL import Image, features

from experiments import cli, feed_forward, forecast, language_model, summarize, tag, translate
from nlpx import data, interop, predict, text, train
from nlpx.config import ClassifierConfig, LanguageModelConfig, TrainConfig, read_config
from nlpx.errors import InputError
from nlpx.interop import huggingface, safetensors
from nlpx.interop.families import FAMILIES
from nlpx.tasks import LanguageModelling
from nlpx.train import checkpoint, freeze, lora, sharding, trained, workdir

Example = dict[str, bytes]
"""The files of a folder; readers are given the path of the first."""
WORDS = ["the", "cat", "sat", "on", "mat", "The", "Éa", "İ", "日本"]
TEXT = "The cat sat on the mat, 3.5 m away.\n\nÇa va ? İstanbul's 日本 \U0001f600 don't\n" * 4
SIZE = {"layers": 1, "width": 8, "heads": 2}


class Reader(NamedTuple):
    """What makes whole examples, what reads them, and how many of 1,000 inputs it is given."""

    share: int
    examples: Callable[[], list[Example]]
    reads: tuple[Callable[[Path], Any], ...]


def files(**contents: str) -> list[Example]:
    """Make examples of one file each; the name `a_csv_gz` means a.csv.gz."""
    whole = {name.replace("_", "."): content.encode() for name, content in contents.items()}
    return [{name: gzip.compress(each) if name.endswith(".gz") else each} for name, each in whole.items()]


def rows(pattern: str, header: str = "") -> str:
    """Make lines from a pattern, with a number and a date for each."""
    each = (pattern.format(n=n, k=n % 3, half=n / 2, y=2000 + n // 12, m=1 + n % 12, d=1 + n) for n in range(30))
    return "\n".join([*header.splitlines(), *each, ""])


def written(*makers: Callable[[Path], Any]) -> list[Example]:
    """Make an example of the files that each maker writes into a folder."""
    examples = []
    for make in makers:
        with tempfile.TemporaryDirectory() as name:
            make(folder := Path(name))
            paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
            examples.append({str(path.relative_to(folder)): path.read_bytes() for path in paths})
    return examples


# Data. Each is read as its recipe reads it, up to what batches are made of.
def read_tagged(path: Path) -> None:
    found = data.load_tagged(f"file:{path}")
    tokenizer = text.SpelledWordTokenizer.train(found.joined("train"), vocab_size=99, min_count=1)
    for part in (found.train, found.validation, found.test):
        columns = data.tagged_columns(part, tokenizer, found.types)
        assert [len(each) for each in columns["words"]] == [len(each) for each in columns["tags"]]


def read_series(path: Path) -> None:
    found = data.load_series(f"file:{path}", missing="carry")
    parts = data.cut_in_time(found, history=3, horizon=2, validation_fraction=0.1, test_fraction=0.2)
    data.fit_scaling(found, parts["train"][1]).inputs(found)


def read_questions(path: Path) -> None:
    found = data.load_questions(f"file:{path}").train
    data.PassageEncoder(text.ByteTokenizer(), max_length=40, question_length=15)(found).targets(found)


def questions() -> list[Example]:
    def asked(n: int) -> dict[str, Any]:
        answers = [{"text": f"place {n}", "answer_start": 20}, {"text": "Ann", "answer_start": 0}]
        return {"id": f"q{n}", "question": f"Where is Ann {n}?", "answers": answers[: 1 + n % 2]}

    paragraphs = [{"context": f"Ann went quickly to place {n}, then home.", "qas": [asked(n)]} for n in range(4)]
    articles = [{"title": f"t{n}", "paragraphs": [each]} for n, each in enumerate(paragraphs)]
    kinds = ("b", ["b", "c"], {"text": ["b"], "answer_start": [2]})
    lines = [{"context": f"a b c {n}", "question": "b?", "answers": kind} for n, kind in enumerate(kinds)]
    return files(a_json=json.dumps({"data": articles}), b_jsonl="\n".join(map(json.dumps, lines)))


def pictures() -> Example:
    made, rng = {}, np.random.default_rng(0)
    for mode in ("L", "RGB", "RGBA", "P", "I;16", "1", "CMYK", "LA"):
        picture = Image.fromarray(rng.integers(0, 256, (8, 9, 3), np.uint8)).convert(mode.replace("I;16", "I"))
        for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "PPM", "EPS", "ICO", *["WEBP"] * features.check("webp")):
            with contextlib.suppress(OSError, ValueError):  # the format lacks the mode
                picture.save(out := io.BytesIO(), kind)
                made[f"{mode[:2]}.{kind.lower().replace('jpeg', 'jpg')}"] = out.getvalue()
    return made


def captions() -> list[Example]:
    made = {name: content for name, content in pictures().items() if not name.endswith((".eps", ".ico"))}
    return [{"t.tsv": "".join(f"{name}\ta picture {name}\n" for name in made).encode(), **made}]


def vectors() -> list[Example]:
    table = {word: np.arange(5, dtype="<f4") + n for n, word in enumerate(WORDS)}
    lines, head = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in table.items()), f"{len(table)} 5\n"
    binary = b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in table.items())
    return [*files(a_txt=lines, b_txt=head + lines, b_txt_gz=head + lines), {"c.bin": head.encode() + binary}]


# Tokenizers.
def write_wordpiece(folder: Path) -> text.WordPieceTokenizer:
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "##s", "##a", "t"]
    (folder / "vocab.txt").write_text("\n".join(pieces))
    settings = {"do_lower_case": True, "strip_accents": None, "tokenize_chinese_chars": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return text.WordPieceTokenizer.from_vocabulary(folder / "vocab.txt")


def write_bpe(folder: Path) -> text.BPETokenizer:
    tokenizer = text.train_tokenizer("bpe", TEXT, vocab_size=270)
    model = tokenizer.to_json()["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(" ".join(pair) + "\n" for pair in model["merges"]))
    return tokenizer


def tokenizers() -> list[Example]:
    made = [text.train_tokenizer(kind, TEXT, vocab_size=270) for kind in ("char", "byte", "word", "bpe")]
    made += [text.SpelledWordTokenizer.train(TEXT, vocab_size=99, min_count=1)]
    return written(*(each.save for each in made), lambda folder: write_wordpiece(folder).save(folder))


def use(tokenizer: Any) -> None:
    """Encode and decode a text that a tokenizer may know."""
    for given in ("the cat sats", TEXT, ""):
        ids = tokenizer.encode(given)
        assert all(0 <= each < tokenizer.vocab_size for each in ids)
        tokenizer.decode(ids)
        getattr(tokenizer, "spell", tokenizer.encode)(given)


def read_vocabulary(path: Path) -> None:
    if isinstance(found := huggingface.read_tokenizer(path.parent), text.Tokenizer):
        use(found)
    else:
        raise InputError("no tokenizer: the folder is returned")


# Runs and models.
CONFIGS = {each.Config.experiment: each.Config
           for each in (feed_forward, forecast, language_model, summarize, tag, translate)}  # fmt: skip


def configs() -> list[Example]:
    suited = {name: kind.preset(None) if hasattr(kind, "preset") else kind() for name, kind in CONFIGS.items()}
    return [
        {f"{name}.json": json.dumps({"experiment": name, **dataclasses.asdict(each)}).encode()}
        for name, each in suited.items()
    ]


def write_run(folder: Path, checkpoints: bool = False) -> None:
    config = language_model.Config(LanguageModelConfig(arch="lstm", **SIZE), train=TrainConfig(mesh="data=1"))
    text.ByteTokenizer().save(folder)
    sizes = {"vocab_size": 256, "max_length": 16}
    about = {"config": "LanguageModelConfig", "settings": dataclasses.asdict(config.model), "sizes": sizes}
    summary = {"experiment": "language_model", "arch": "lstm", "parameters": 9, "tokens": 9, "seconds": 0.1}
    summary |= {"tokens_per_second": 9.5, "eval_loss": 0.5, "metrics": {"accuracy": 0.5}, "workdir": "a"}
    settings = {"experiment": "language_model", **dataclasses.asdict(config)}
    for name, each in {"summary.json": summary, "model.json": about, "config.json": settings}.items():
        (folder / name).write_text(json.dumps(each))
    records = ({"step": n, "split": "train", "loss": 1 / n} for n in range(1, 4))
    (folder / "metrics.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))
    if checkpoints:
        engine = train.Engine(LanguageModelling(config.model.build(**sizes)), config.train)
        kept = checkpoint.Checkpoints(folder)
        kept.save(engine.init(), {"data": {}, "report": {}, "metrics": {}, "best": None, "plans": {}}, 0.5)
        kept.close()


def write_hub(folder: Path, task: str, **more: Any) -> None:
    family = FAMILIES["gpt2" if task == "language_model" else "bert"]
    tokenizer = write_bpe(folder) if task == "language_model" else write_wordpiece(folder)
    config = family.heads[task].config(**{**family.fixed, **family.heads[task].fixed, **SIZE, "hidden": 8})
    sizes = {"labels": ("no", "yes"), "segment_kinds": 2} if task == "classifier" else {}
    model = config.build(tokenizer.vocab_size, max_length=8, **sizes)
    params = model.init(jax.random.key(0), *model.example_inputs())
    huggingface.save(folder, model, params, tokenizer=tokenizer, **more)


def arrays(folder: Path) -> None:
    params = {"a": {"b": np.ones((2, 3), np.float32), "c": np.zeros((0, 4), np.int8)}, "d": np.float64(3)}
    interop.save_safetensors(params, folder / "a.safetensors", metadata={"x": "1"})


# Arguments: the file holds one, or several in its lines.
def arguments(*values: str) -> list[Example]:
    beside = {"a.tsv": rows("text {n}\tB-a").encode(), "t.csv": rows("{y}-{m:02}-01,{half},{n}").encode()}
    return [{"argument": each.encode(), **beside} for each in values]


def argument(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "surrogateescape")


def read_spec(loader: Callable[[str], Any], path: Path) -> None:
    with contextlib.chdir(path.parent):
        if (spec := argument(path)).startswith("file:"):
            loader(re.sub(r"[/~]|\.\.", "", spec))  # which would lead out of the folder


def read_flags(path: Path) -> None:
    words, err = argument(path).replace("\x00", "").split("\n"), io.StringIO()
    with contextlib.chdir(path.parent), contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        before, sys.argv = sys.argv, ["fuzz", *words]
        try:
            cli.run(lambda config: sharding.parse_mesh(config.train.mesh), language_model.Config, "")
        except SystemExit as stop:
            if stop.code == 2 and (err.getvalue().count("\n") == 1 or "full helptext" in err.getvalue()):
                raise InputError("a line, or tyro's box") from None
            if stop.code:
                raise ValueError(err.getvalue()) from None
        finally:
            sys.argv = before


PARAMS = {"embedding": {"table": np.zeros((2, 2), np.float32)}, "head": {"kernel": np.zeros((2, 2), np.float32)}}


def read_freeze(path: Path) -> None:
    freeze.matching(PARAMS, argument(path))


def read_lora(path: Path) -> None:
    lora.factors(PARAMS, jax.random.key(0), rank=1, pattern=argument(path))


def read_lines(path: Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        predict.answer_lines(str(path), lambda lines: [str(len(text.ByteTokenizer().encode(x))) for x in lines])


def of(loader: Callable[..., Any], **options: Any) -> Callable[[Path], Any]:
    return lambda path: loader(f"file:{path}", **options)


LOADERS = (data.load_text, data.load_documents, data.load_pairs, data.load_labelled, data.load_tagged, data.load_table,
           data.load_series, data.load_questions, data.load_captions)  # fmt: skip
DATED = {"a_csv": rows("{y}-{m:02}-01,{half},{n}", "date,a,b"), "b_csv_gz": rows("{d:02}.12.2023;{n}"),
         "c_tsv": rows("2024-01-{d:02}T00:00+02:00\t{n}"), "d_csv": rows("{n},1/{d}/2024 10:00,x")}  # fmt: skip
COLUMNS = {"a_csv": rows("{n},{half},a{k}", "x,y,kind"), "b_tsv": rows("{n}\t{half}\t{k}"),
           "c_csv_gz": rows("{n};{m};{half}")}  # fmt: skip
LABELLED = {"a_tsv": rows("text {n}\tlabel {m}"), "b_csv": rows('"a, {n}",l{m}', "text,label"),
            "c_jsonl": rows('{{"text": "a {n}", "label": {m}}}'), "d_tsv_gz": rows("text {n}\tl{m}")}  # fmt: skip
TAGGED = {"a_conll": rows("John{n} NN B-PER\nSmith x I-PER\nsaw VB O\n"), "b_tsv": rows("a{n}\tS-X\n\nb c\tO\n")}

READERS = {
    "text": Reader(60, lambda: files(a_txt=TEXT, b_txt_gz=TEXT), (of(data.load_text), of(data.load_documents))),
    "pairs": Reader(60, lambda: files(a_tsv=rows("a {n}\tb, {n}"), b_tsv_gz=rows("a {n}\tb")),
                    (of(data.load_pairs, split=True, lowercase=True),)),
    "labelled": Reader(90, lambda: files(**LABELLED), (of(data.load_labelled),)),
    "tagged": Reader(70, lambda: files(**TAGGED), (read_tagged,)),
    "table": Reader(70, lambda: files(**COLUMNS), (of(data.load_table),)),
    "series": Reader(70, lambda: files(**DATED), (read_series,)),
    "questions": Reader(70, questions, (read_questions,)),
    "captions": Reader(2, captions, (of(data.load_captions),)),
    "pictures": Reader(
        90, lambda: [{name: each} for key, each in pictures().items() for name in (key, "picture")],
        (lambda path: data.is_picture(str(path)), lambda path: data.open_picture(path, 16, 3)),
    ),
    "vectors": Reader(90, vectors, (lambda path: text.read_vectors(path, WORDS),)),
    "tokenizers": Reader(60, tokenizers, (lambda path: use(text.load_tokenizer(path.parent)),)),
    "vocabularies": Reader(30, lambda: written(write_bpe, write_wordpiece), (read_vocabulary,)),
    "configs": Reader(70, configs, (lambda path: read_config(CONFIGS[path.stem], path),)),
    "workdirs": Reader(50, lambda: written(write_run), (
        lambda path: workdir.check(path.parent, {"experiment": "language_model", "model": {"layers": 1}}),
        lambda path: [each["step"] for each in workdir.read_metrics(path.parent)],
        lambda path: train.read_summaries(str(path.parent), "language_model"),
        lambda path: trained.read_model(path.parent),
    )),
    "checkpoints": Reader(1, lambda: written(partial(write_run, checkpoints=True)),
                          (lambda path: train.load(path.parents[path.parts[::-1].index("checkpoints")]),)),
    "safetensors": Reader(60, lambda: written(arrays), (
        interop.load_safetensors,
        lambda path: [each.map() for each in safetensors.open_safetensors(path).values()],
    )),
    "hub": Reader(1, lambda: written(
        partial(write_hub, task="language_model"), partial(write_hub, task="classifier"),
        partial(write_hub, task="language_model", shard_bytes=2000),
    ), (lambda path: predict.load_language_model(path.parent),
        lambda path: huggingface.read(path.parent, ClassifierConfig).params())),
    "specs": Reader(25, lambda: arguments("file:a.tsv", "file:a.tsv:2,1", "file:a.tsv,a.tsv", "file:t.csv:1,3"),
                    tuple(partial(read_spec, each) for each in LOADERS)),
    "flags": Reader(2, lambda: arguments("--arch=lstm\n--width\n8\n--mesh=data=2,model=1\n--dropout=0.5",
                                         "--save-every=10min\n--lora=2\n--no-tied\n--seeds=1,2"), (read_flags,)),
    "patterns": Reader(10, lambda: arguments("head/.*", "(a|b|e|h)+ad/k.{2,5}"), (read_freeze, read_lora)),
    "lines": Reader(25, lambda: files(a_txt=TEXT), (read_lines,)),
}  # fmt: skip
"""In the order of the summary."""
