"""The command, with a run of ours and with a folder in the form of GPT-2's."""

import io
import json
import sys

import jax
import jax.numpy as jnp
import pytest

from experiments import generate, tag
from nlpx.config import LanguageModelConfig
from nlpx.decode import Sampling
from nlpx.interop import huggingface
from nlpx.interop.families import GPT2
from nlpx.predict import Writer, load_language_model
from nlpx.text import train_tokenizer

pytestmark = pytest.mark.thorough

TEXT = "The road from RNN to Transformer 🙂 is long, and the view is good.\n" * 3


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    """A small random GPT-2 with a tokenizer of its own, whose token 3 ends a text."""
    folder = tmp_path_factory.mktemp("gpt2")
    fixed = {**GPT2.fixed, **GPT2.heads["language_model"].fixed}
    config = LanguageModelConfig(**{**fixed, "layers": 1, "width": 16, "heads": 2, "hidden": 32, "tied": True})
    tokenizer = train_tokenizer("bpe", TEXT, vocab_size=280)
    model = config.build(tokenizer.vocab_size, max_length=32)
    variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 1), jnp.int32))
    variables["params"]["position"]["table"] *= 100
    ends = {"bos_token_id": 3, "eos_token_id": 3}
    huggingface.save(folder, model, variables, tokenizer=tokenizer, more=ends)
    return folder


@pytest.fixture(params=["trained", "gpt2"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def generated(command, capsys):
    """`generated(model, flags...)`: what the command wrote to stdout, and the end of its stderr."""

    def run(model, *flags):
        assert command(generate, [f"--model={model}", *flags]) == 0
        out, err = capsys.readouterr()
        assert "tokens/s" in err
        return out

    return run


def test_a_text_is_continued_greedily_and_with_samples(folder, generated):
    model = load_language_model(folder)
    ends = {"begin": model.begin, "end": model.end}
    expected = Writer(model.trained, Sampling(0.0), **ends)(["The "], tokens=12)
    assert generated(folder, "--prompt=The ", "--max-new-tokens=12") == f"The {expected[0]}\n".replace("\ufffd\n", "\n")
    sampling = Sampling(0.9, 20, 0.95, 0.01)
    flags = ["--temperature=0.9", "--top-k=20", "--top-p=0.95", "--min-p=0.01", "--repetition-penalty=1.2", "--seed=7"]
    expected = Writer(model.trained, sampling, repetition_penalty=1.2, **ends)(["The "], tokens=12, seed=7)
    written = generated(folder, "--prompt=The ", "--max-new-tokens=12", *flags)
    assert written == f"The {expected[0].rstrip(chr(0xFFFD))}\n"


@pytest.mark.parametrize("folder", ["gpt2", pytest.param("trained", marks=pytest.mark.slow)], indirect=True)
def test_lines_of_a_file_are_continued_together_and_beams_too(folder, generated, tmp_path, monkeypatch):
    prompts = ["The ", "a", "abc d"]
    (tmp_path / "prompts.txt").write_text("\n".join(prompts) + "\n")
    flags = [f"--prompt={tmp_path / 'prompts.txt'}", "--max-new-tokens=8"]
    model = load_language_model(folder)
    ends = {"begin": model.begin, "end": model.end}

    def lines(texts):
        whole = [prompt + text for prompt, text in zip(prompts, texts, strict=True)]
        return [text.replace("\\", "\\\\").replace("\n", "\\n") for text in whole]

    greedy = Writer(model.trained, Sampling(0.0), **ends)(prompts, tokens=8)
    assert generated(folder, *flags).split("\n")[:-1] == lines(greedy)
    options = {"beams": 3, "length_penalty": 0.5, "early_stopping": True}
    found = Writer(model.trained, **ends).search(prompts, tokens=8, **options)
    beams = ["--beams=3", "--length-penalty=0.5", "--early-stopping"]
    assert generated(folder, *flags, *beams).split("\n")[:-1] == lines(found)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(prompts)))
    assert generated(folder, "--prompt=-", "--max-new-tokens=8").split("\n")[:-1] == lines(greedy)


def test_stop_strings_end_the_text(trained, generated):
    whole = generated(trained, "--prompt=The ", "--max-new-tokens=30", "--temperature=1")
    text = whole[len("The ") :]
    stops = [f"--stop={text[5:7]}", "--stop=never there"]
    cut = generated(trained, "--prompt=The ", "--max-new-tokens=30", "--temperature=1", *stops)
    assert cut == f"The {text.partition(text[5:7])[0]}\n"


def test_only_whole_characters_are_printed(gpt2, generated):
    """Random bytes are mostly no UTF-8; at the end what may be half a character is left out."""
    written = generated(gpt2, "--prompt=🙂", "--max-new-tokens=20", "--temperature=2")
    assert written.startswith("🙂")
    assert not written.endswith("\ufffd\n")


def test_an_empty_prompt_begins_with_the_model_s_token(gpt2, generated):
    assert generated(gpt2, "--prompt=", "--max-new-tokens=4")


def test_a_text_is_scored(folder, generated, text, tmp_path):
    (tmp_path / "text.txt").write_text(text[:300] if "gpt2" not in str(folder) else TEXT, encoding="utf-8")
    written = generated(folder, f"--score={tmp_path / 'text.txt'}", "--stride=5")
    window = load_language_model(folder).trained.model.max_length
    assert "perplexity" in written
    assert "nats per token" in written
    assert "bits per byte" in written
    assert f"windows of {window} tokens, stride 5" in written


@pytest.fixture(scope="module")
def of_tags(call_once, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tags")
    (folder / "tags.conll").write_text("".join(f"for O\nMr{number} B-NAME\n\n" for number in range(60)))
    small = ["--layers=1", "--width=8", "--steps=1", "--eval-every=1", "--batch-size=8", "--mesh=data=1", "--buckets=1"]
    assert call_once(tag, [*small, f"--data=file:{folder / 'tags.conll'}", f"--workdir={folder / 'run'}"]) == 0
    return folder / "run"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prompt=a"], "which model? give --model"),
        (["--model=no/such/folder", "--prompt=a"], "no folder no/such/folder"),
        (["--model=TMP", "--prompt=a"], "holds no model: it has no config.json"),
        (["--model=GPT2"], "give either --prompt, a text to continue, or --score"),
        (["--model=GPT2", "--prompt=a", "--score=b"], "give either --prompt"),
        (["--model=GPT2", "--prompt=" + "x" * 40], "the prompt has 40 tokens, and the model 32 positions"),
        (["--model=RUN", "--prompt="], "the text to go on from is empty: give at least one token"),
        (["--model=RUN", "--prompt=中"], "characters outside the vocabulary: '中' at position 0"),
        (["--model=TAGS", "--prompt=a"], "holds a run of tag, whose model continues no text: give a run of"),
        (["--model=OTHER", "--prompt=a"], "has 260 tokens, and its model 280: put the tokenizer there"),
        (["--model=BARE", "--prompt=a"], "holds no tokenizer that can be read"),
        (["--model=GPT2", "--prompt=a", "--top-k=3"], "--top-k: not read without --temperature above 0"),
        (["--model=GPT2", "--prompt=a", "--beams=2", "--temperature=1"], "--temperature: not read with --beams"),
        (["--model=GPT2", "--prompt=a", "--length-penalty=2"], "--length-penalty: not read without --beams"),
        (["--model=GPT2", "--prompt=a", "--stride=2"], "--stride: not read without --score"),
        (["--model=GPT2", "--score=a", "--beams=2"], "--beams: not read with --score"),
        (["--model=GPT2", "--score=nowhere.txt"], "cannot read nowhere.txt"),
        (["--model=GPT2", "--prompt=a", "--stop="], "a stop string is empty"),
        (
            ["--model=GPT2", "--prompt=a", "--beams=999", "--max-new-tokens=8"],
            "beams 999 is more than the vocabulary's 280 tokens",
        ),
        (["--model=GPT2", "--prompt=a", "--beams=2"], "beam search writes at most 32 more"),
    ],
)
def test_bad_input_gives_one_line_and_exit_code_2(flags, message, gpt2, trained, of_tags, command, capsys, tmp_path):
    places = {"TMP": tmp_path, "GPT2": gpt2, "RUN": trained, "TAGS": of_tags}
    for name, size in (("OTHER", 260), ("BARE", None)):
        (tmp_path / name).mkdir()
        for file in gpt2.iterdir():
            if file.name != "tokenizer.json":
                (tmp_path / name / file.name).write_bytes(file.read_bytes())
        if size:
            train_tokenizer("bpe", TEXT, vocab_size=size).save(tmp_path / name)
        places[name] = tmp_path / name
    for name, place in places.items():
        flags = [flag.replace(f"--model={name}", f"--model={place}") for flag in flags]
    assert command(generate, flags) == 2
    out, error = capsys.readouterr()
    assert not out
    assert message in error
    assert len(error.splitlines()) == 1


def test_end_tokens_are_those_of_config_json(gpt2, tmp_path):
    assert huggingface.end_tokens(gpt2, 280) == (3, 3)
    for tokens, expected in (({}, (None, None)), ({"eos_token_id": [5]}, (None, 5))):
        (tmp_path / "config.json").write_text(json.dumps(tokens))
        assert huggingface.end_tokens(tmp_path, 280) == expected
    for wrong in (280, -1, [1, 2], "end"):
        (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": wrong}))
        with pytest.raises(ValueError, match=r"config\.json has eos_token_id="):
            huggingface.end_tokens(tmp_path, 280)
