import json
import subprocess
import sys

import numpy as np
import pytest

from nlpx.errors import InputError
from nlpx.text import load_tokenizer, train_tokenizer

TEXT = "the cat sat on the mat\nthe cat ran  away\n" * 5
KINDS = ["char", "byte", "word", "bpe"]


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_it_is_the_same(kind, tmp_path):
    tokenizer = train_tokenizer(kind, TEXT, vocab_size=280)
    tokenizer.save(tmp_path / "new" / "folder")
    assert [path.name for path in (tmp_path / "new/folder").iterdir()] == ["tokenizer.json"]
    loaded = load_tokenizer(tmp_path / "new" / "folder")
    assert (loaded.kind, type(loaded), loaded.vocab_size) == (kind, type(tokenizer), tokenizer.vocab_size)
    ids = tokenizer.encode(TEXT)
    assert ids.dtype == np.int32
    assert ids.min() >= 0
    assert ids.max() < tokenizer.vocab_size
    np.testing.assert_array_equal(loaded.encode(TEXT), ids)
    assert loaded.decode(ids) == tokenizer.decode(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_what_comes_back_as_it_was_is_spelt(kind):
    tokenizer = train_tokenizer(kind, TEXT, vocab_size=280)
    assert tokenizer.spells(TEXT) == (tokenizer.decode(tokenizer.encode(TEXT)) == TEXT) == (kind != "word")
    assert not tokenizer.spells("the \udcff")
    assert tokenizer.unknown_fraction(TEXT) == 0
    assert tokenizer.unknown_words("zebra") == (["zebra"] if kind == "word" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_no_ids_and_no_text(kind):
    tokenizer = train_tokenizer(kind, TEXT)
    assert tokenizer.encode("").shape == (0,)
    assert tokenizer.encode("").dtype == np.int32
    assert tokenizer.decode([]) == ""


def test_training_refuses():
    with pytest.raises(InputError, match=r"unknown tokenizer 'word2'; did you mean 'word'\?"):
        train_tokenizer("word2", TEXT)
    with pytest.raises(InputError, match="empty"):
        train_tokenizer("char", "")
    with pytest.raises(InputError, match="min_count is 0"):
        train_tokenizer("word", TEXT, min_count=0)


def test_loading_refuses_a_missing_file(tmp_path):
    with pytest.raises(InputError, match="no tokenizer at"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[1]",
        "{}",
        '{"kind": "wird"}',
        '{"kind": ["char"]}',
        '{"kind": "char"}',
        '{"kind": "char", "characters": ""}',
        '{"kind": "char", "characters": ["ab", "a"]}',
        '{"kind": "spelled", "words": [1], "characters": "a", "longest": 3}',
        '{"kind": "spelled", "words": ["a"], "characters": "a", "longest": "3"}',
        '{"kind": "spelled", "words": ["a"], "characters": "a", "longest": 1000000000}',
        '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1000000000}, "merges": []}}',
        '{"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": ["a b"], "continuing_subword_prefix": "##"}}',
        "[" * 100_000,
        '{"kind": "word", "words": ["a", "a"]}',
        '{"kind": "word", "words": ["a b"]}',
        '{"kind": "word", "words": [1]}',
        '{"model": {}}',
        b"\xff",
    ],
)
def test_loading_refuses_a_damaged_file(content, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=r"tokenizer\.json") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings", [{"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": True}}, {"decoder": None}]
)
def test_loading_refuses_another_hugging_face_tokenizer(tmp_path, settings):
    train_tokenizer("bpe", TEXT).save(tmp_path)
    payload = json.loads((tmp_path / "tokenizer.json").read_text())
    for part, values in settings.items():
        payload[part] = values and {**payload[part], **values}
    (tmp_path / "tokenizer.json").write_text(json.dumps(payload))
    with pytest.raises(InputError, match="byte-level BPE without"):
        load_tokenizer(tmp_path)


def test_importing_is_light():
    program = (
        "import sys, nlpx.text, nlpx.data\n"
        "heavy = {'jax', 'flax', 'grain', 'tokenizers', 'tensorflow_datasets'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
