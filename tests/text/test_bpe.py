import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from nlpx.errors import InputError
from nlpx.text import BPETokenizer
from nlpx.text.bpe import pieces

GPT2 = Path(__file__).parents[3] / "shared/data/gpt2_bpe"
TEXT = (
    "It's the end of the line, and we'll say so.\n\n  The theory  of the other thing\r\n"
    "is that a quick brown fox jumps over a lazy dog while nobody watches.\n"
) * 20
needs_gpt2 = pytest.mark.skipif(not GPT2.is_dir(), reason="GPT-2's files are not in ../shared/data")
# Many kinds of white space and the pattern's special cases, which random Unicode seldom puts side by side.
awkward = st.text(st.sampled_from("ab'sltve12.,!é中🙂 \n\r\t\x0b\x1c\x85\xa0\u1680\u180e\u2028\u3000")) | st.text()


@pytest.fixture(scope="module")
def tokenizer():
    return BPETokenizer.train(TEXT, vocab_size=300, min_count=2)


@pytest.fixture(scope="module")
def gpt2():
    return BPETokenizer.from_gpt2(GPT2 / "encoder.json", GPT2 / "vocab.bpe")


@pytest.fixture(scope="module")
def of_the_library():
    """GPT-2's tokenizer as its library makes it, which encodes a text at once."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE.from_file(str(GPT2 / "encoder.json"), str(GPT2 / "vocab.bpe")))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    return made


@pytest.mark.thorough
@given(text=awkward)
def test_round_trip_is_exact(tokenizer, text):
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert ids.ndim == 1
    assert tokenizer.decode(ids) == text
    assert tokenizer.spells(text)


def test_it_learns_and_is_deterministic(tokenizer):
    assert tokenizer.vocab_size == 300
    assert len(tokenizer.encode(TEXT)) < 0.6 * len(TEXT)
    again = BPETokenizer.train(TEXT, vocab_size=300, min_count=2)
    assert again.to_json() == tokenizer.to_json()


@given(awkward, st.integers(1, 5))
def test_pieces_are_the_text(text, size):
    cut = list(pieces(text, size))
    assert "".join(cut) == text
    assert all(piece.startswith("\n") for piece in cut[1:])


@needs_gpt2
@settings(max_examples=300)
@given(text=awkward, size=st.integers(1, 4))
def test_encoding_in_pieces_is_encoding_at_once(gpt2, of_the_library, text, size):
    at_once = of_the_library.encode(text).ids
    assert [i for piece in pieces(text, size) for i in of_the_library.encode(piece).ids] == at_once
    assert gpt2.encode(text).tolist() == at_once


@needs_gpt2
def test_gpt2_gives_the_known_ids(gpt2):
    assert gpt2.vocab_size == 50257
    assert gpt2.encode("Hello world").tolist() == [15496, 995]
    assert gpt2.encode("The quick brown fox jumps over the lazy dog").tolist() == [
        464, 2068, 7586, 21831, 18045, 625, 262, 16931, 3290,
    ]  # fmt: skip
    assert gpt2.encode("\n\n").tolist() == [628]
    assert gpt2.decode([50256]) == "<|endoftext|>"


def test_refusals(tokenizer, tmp_path):
    with pytest.raises(InputError, match="256 bytes"):
        BPETokenizer.train(TEXT, vocab_size=255, min_count=2)
    with pytest.raises(InputError, match="at position 1 is not valid Unicode"):
        tokenizer.encode("a\udcff")
    with pytest.raises(InputError, match="id 300 is outside"):
        tokenizer.decode([300])
    with pytest.raises(InputError, match="no file"):
        BPETokenizer.from_gpt2(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    (tmp_path / "encoder.json").write_text("{")
    (tmp_path / "vocab.bpe").write_text("#version: 0.2\n")
    with pytest.raises(InputError, match="are not GPT-2's"):
        BPETokenizer.from_gpt2(tmp_path / "encoder.json", tmp_path / "vocab.bpe")
    for vocabulary, why in ({"a": 0}, "255 of the 256 bytes are missing"), ({"a": 10**9}, "not the numbers from 0 on"):
        (tmp_path / "encoder.json").write_text(json.dumps(vocabulary))
        with pytest.raises(InputError, match=f"are not GPT-2's .*{why}"):
            BPETokenizer.from_gpt2(tmp_path / "encoder.json", tmp_path / "vocab.bpe")


def test_a_sample_cut_within_a_character_decodes(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a🙂")[:-1]).startswith("a�")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_later_fork_is_silent_and_the_environment_is_kept():
    program = (
        "import os; from nlpx.text import BPETokenizer\n"
        "t = BPETokenizer.train('a b a b' * 99, vocab_size=260, min_count=2); t.encode('a b')\n"
        "assert 'TOKENIZERS_PARALLELISM' not in os.environ\n"
        "pid = os.fork()\n"
        "if pid: os.waitpid(pid, 0)\n"
        "else: t.encode('a b'); os._exit(0)\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


@pytest.fixture
def foreign():
    """A tokenizer of other hands, as the library itself has it."""
    return tokenizers.Tokenizer.from_str(json.dumps(BPETokenizer.train(TEXT, vocab_size=300, min_count=2).to_json()))


def test_settings_of_other_hands_that_would_lose_text_are_switched_off(foreign):
    foreign.enable_truncation(16)
    foreign.enable_padding(length=50)
    foreign.model.dropout = 0.9
    ours, long = BPETokenizer(foreign), TEXT * 3
    ids = ours.encode(long)
    assert ours.decode(ids) == long
    np.testing.assert_array_equal(ours.encode(long), ids)
    assert len(ids) == len(BPETokenizer.train(TEXT, vocab_size=300, min_count=2).encode(long))


def test_a_vocabulary_without_all_bytes_is_refused(foreign):
    settings = json.loads(foreign.to_str())
    tokens = sorted(settings["model"]["vocab"].keys() - {"Ġ"})
    settings["model"]["vocab"] = {token: number for number, token in enumerate(tokens)}
    settings["model"]["merges"] = []
    with pytest.raises(ValueError, match="1 of the 256 bytes are missing"):
        BPETokenizer.from_json(settings)


HARD = [
    "",
    "emoji 🙂 👩‍👩‍👧 flags 🇫🇷",
    "東京は日本の首都 한국어 ひらがな",
    "control \x00 \x07 characters \x7f \ufeff \u200b \xad \u2028 end",
    "runs   of    spaces\t\t\n\n\n and  \r\n lines   ",
    "we'll they're it's I'M don't 'd ''s",
    "déjà naïve",
    "de\u0301ja\u0300 nai\u0308ve",  # NFD of the line above
    "3.14 1,000 x² ½ ١٢٣",
    "end<|endoftext|>\n\nbegin <|endoftext|> <|endoftext|>",
    "snake_case #tag @name http://a.b/c?d=e",
]


@pytest.mark.parity
def test_ids_are_those_of_transformers(transformers, tmp_path):
    """From vocab.json and merges.txt, and from the tokenizer.json that transformers writes."""
    from nlpx.interop.huggingface import read_tokenizer

    learnt = tokenizers.ByteLevelBPETokenizer()
    learnt.train_from_iterator([TEXT, *HARD], vocab_size=500, special_tokens=["<|endoftext|>"], show_progress=False)
    learnt.save_model(str(tmp_path))
    theirs = transformers.GPT2Tokenizer.from_pretrained(tmp_path)
    theirs.save_pretrained(tmp_path / "json")
    assert (tmp_path / "json" / "tokenizer.json").exists()
    for ours in (read_tokenizer(tmp_path), read_tokenizer(tmp_path / "json")):
        assert ours.vocab_size == len(theirs)
        for text in HARD:
            ids = ours.encode(text).tolist()
            assert ids == theirs(text).input_ids, repr(text)
            assert ours.decode(ids) == text
