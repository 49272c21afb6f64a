import hashlib

import pytest

from nlpx.data import load_labelled, load_pairs, load_text
from nlpx.errors import InputError


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_text("0123456789" * 10)
    (tmp_path / "b.txt").write_text("abcdefghij" * 10)
    return tmp_path


def test_a_part_is_set_aside(folder):
    data = load_text(f"file:{folder}/a.txt", validation_fraction=0.25)
    assert (data.train, data.validation) == (("0123456789" * 10)[:75], ("0123456789" * 10)[75:])
    assert data.name == f"file:{folder}/a.txt"
    assert data.sha256 == hashlib.sha256(b"0123456789" * 10).hexdigest()


def test_another_source_validates_whole(folder):
    data = load_text(f"file:{folder}/a.txt", valid=f"file:{folder}/b.txt")
    assert (data.train, data.validation) == ("0123456789" * 10, "abcdefghij" * 10)
    assert "a.txt" in data.name
    assert "b.txt" in data.name


@pytest.mark.parametrize(
    ("train", "validation"), [("a.txt", "a.txt"), ("", "b.txt"), ("a.txt", ""), ("a.txt", "../{name}/a.txt")]
)
def test_shared_files_are_refused(folder, train, validation):
    with pytest.raises(InputError, match="is both training and validation text"):
        load_text(f"file:{folder}/{train}", valid=f"file:{folder}/{validation.format(name=folder.name)}")


def test_shared_text_is_refused(folder):
    (folder / "copy.txt").write_text("0123456789")
    with pytest.raises(InputError, match="is part of the training text"):
        load_text(f"file:{folder}/a.txt", valid=f"file:{folder}/copy.txt")


def test_refusals(folder):
    with pytest.raises(InputError, match=r"unknown data source 'cpython-doc'; did you mean 'cpython-docs'\?"):
        load_text("cpython-doc")
    with pytest.raises(InputError, match="between 0 and 1"):
        load_text(f"file:{folder}/a.txt", validation_fraction=0.0)
    (folder / "c.txt").write_text("c")
    with pytest.raises(InputError, match="leaves no training text"):
        load_text(f"file:{folder}/c.txt")


@pytest.mark.parametrize("load", [load_text, load_pairs, load_labelled])
def test_a_file_without_file_is_understood(tmp_path, load):
    (tmp_path / "some.txt").write_text("text")
    with pytest.raises(InputError, match=f"write file:{tmp_path / 'some.txt'}"):
        load(str(tmp_path / "some.txt"))
