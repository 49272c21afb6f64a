import pytest

from nlpx import data
from nlpx.data import cpython_docs
from nlpx.errors import InputError


def test_the_built_in_documents_are_those_of_the_text():
    found = data.load_documents("cpython-docs")
    assert [*found.train, *found.validation] == cpython_docs.documents()
    share = sum(map(len, found.validation)) / sum(map(len, (*found.train, *found.validation)))
    assert share == pytest.approx(0.1, abs=0.01)
    assert found.sha256 == data.load_documents("cpython-docs").sha256
    assert found.sha256 != data.load_documents("cpython-docs", validation_fraction=0.2).sha256


def test_files_are_documents_and_a_single_one_is_cut_at_blank_lines(tmp_path):
    (tmp_path / "a.txt").write_text("\none\ntwo\n \t\n\n  three\n\n\n")
    (tmp_path / "b.txt").write_text("four\n\nfive\n")
    (tmp_path / "empty.txt").write_text("\n \n")
    one = data.read_documents(f"file:{tmp_path / 'a.txt'}")
    assert [each.split() for each in one] == [["one", "two"], ["three"]]
    assert [each.split() for each in data.read_documents(f"file:{tmp_path}")] == [
        ["one", "two", "three"],
        ["four", "five"],
    ]
    apart = data.load_documents(f"file:{tmp_path / 'a.txt'}", valid=f"file:{tmp_path / 'b.txt'}")
    assert [each.split() for each in apart.train] == [["one", "two"], ["three"]]
    assert [each.split() for each in apart.validation] == [["four"], ["five"]]
    assert apart.name == f"file:{tmp_path / 'a.txt'}, validation file:{tmp_path / 'b.txt'}"


@pytest.mark.parametrize(
    ("spec", "valid", "message"),
    [
        ("file:{}/empty.txt", None, "holds no text: there is white space alone"),
        ("file:{}/a.txt", "file:{}/a.txt", "is both training and validation text"),
        ("file:{}/a.txt", "file:{}/copy.txt", "are among those of .*; give others"),
        ("file:{}/none.txt", None, "cannot read .*none.txt"),
        ("nowhere", None, "nowhere"),
        ("cpython-docs:3", None, "takes no argument"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, spec, valid, message):
    (tmp_path / "a.txt").write_text("one\n\ntwo")
    (tmp_path / "copy.txt").write_text("two\n\none")
    (tmp_path / "empty.txt").write_text("\n \n")
    with pytest.raises(InputError, match=message):
        data.load_documents(spec.format(tmp_path), valid=valid and valid.format(tmp_path))
