"""Every reader refuses the first corrupt record, or leaves out as many as it may, and reads the rest as it was."""

import json

import numpy as np
import pytest

from nlpx import data
from nlpx.data import conll, csv_rows, labelled_files, pair_files, question_files
from nlpx.errors import InputError

ROWS = range(30)
FRENCH, ENGLISH = ([f"{word} {n}".encode() for n in ROWS] for word in ("un", "one"))
QUESTION = {"question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]}


def rows(*lines, at=7):
    """Lines with corrupt ones, which are given, among them; and without."""

    def with_corrupt(pattern, head=()):
        whole = [*head, *(pattern.format(n=n, k=n % 3, d=n + 1).encode() for n in ROWS)]
        return b"\n".join([*whole[:at], *lines, *whole[at:]]), b"\n".join(whole)

    return with_corrupt


def squad(*corrupt):
    def article(n, *more):
        return {"title": f"t{n}", "paragraphs": [{"context": f"Ann {n}", "qas": [QUESTION, *more]}]}

    return (json.dumps({"data": [article(n, *each) for n in ROWS]}).encode() for each in (corrupt, ()))


NO_UTF8 = b"\xff\xfe"
# Name of the file, what is in it with two corrupt records and without, and what reads it.
READERS = {
    "pairs": ("a.tsv", rows(b"no tab", NO_UTF8 + b"\tb")("un {n}\tone {n}"), data.load_pairs),
    "labels": ("a.tsv", rows(b"a\tb\tc", b"a\t")("text {n}\tl{k}"), data.load_labelled),
    "labels, CSV": ("a.csv", rows(b'"text, 1', b"a,b,c")('"text, {n}",l{k}', [b"text,label"]), data.load_labelled),
    "labels, JSON": (
        "a.jsonl",
        rows(b'{"text": "a", "lab', b'{"text": 1, "label": 2}')('{{"text": "{n}", "label": {k}}}'),
        data.load_labelled,
    ),
    "tags": ("a.txt", rows(b"\na O\nb\nc O\n", b"a O\n\xff O\n\nd I-Q\n", at=8)("Ann{n} B-P\n"), data.load_tagged),
    "questions": (
        "a.jsonl",
        rows(b"{", b'{"context": "a", "question": 1}')('{{"context": "a {n}", "question": "b", "answers": "a"}}'),
        data.load_questions,
    ),
    "table": ("a.csv", rows(b"tall,2,b", b"1,2")("{n},{d},l{k}"), data.load_table),
    "text": ("a.txt", (b"a\nb" + NO_UTF8 + b"\nc\n\xe9\n" * 1 + b"d" * 30, b"a\n\nc\n\n" + b"d" * 30), data.load_text),
    "documents": (
        "a.txt",
        (b"a\nb\n\xff\nc\nd\xc3\n\n" + b"e" * 9, b"a\nb\n\nc\n\n\n" + b"e" * 9),
        data.load_documents,
    ),
}


@pytest.mark.parametrize("name", READERS)
def test_corrupt_records_are_refused_or_left_out(name, tmp_path, corrupt):
    file, (broken, whole), load = READERS[name]
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / file).write_bytes(whole)
    (tmp_path / file).write_bytes(broken)
    spec, clean = f"file:{tmp_path / file}", load(f"file:{tmp_path / 'whole' / file}")
    corrupt_ones = 3 if name == "tags" else 2
    corrupt(0)
    with pytest.raises(InputError, match=r"; or leave out up to N corrupt records with skip_corrupt N$"):
        load(spec)
    corrupt(corrupt_ones - 1)
    with pytest.raises(
        InputError, match=f"^{corrupt_ones} corrupt records, and skip_corrupt allows {corrupt_ones - 1}; the last: /"
    ):
        load(spec)
    said = corrupt(corrupt_ones)
    assert load(spec).sha256 == clean.sha256
    assert len(said) == corrupt_ones
    assert all(line.startswith(f"left out, corrupt: {tmp_path / file}") for line in said)


def test_of_parallel_files_both_lines_go(tmp_path, corrupt):
    french, english = list(FRENCH), list(ENGLISH)
    french[3], english[5] = b"\xff", b"\xff"
    for name, lines in (("a.fr", french), ("a.en", english)):
        (tmp_path / name).write_bytes(b"\n".join(lines))
    said = corrupt(2)
    pairs = pair_files.read_files(f"{tmp_path}/a.fr,{tmp_path}/a.en")
    assert pairs == [(f"un {n}", f"one {n}") for n in ROWS if n not in (3, 5)]
    assert [line.partition(", line ")[2][:2] for line in said] == ["4;", "6;"]


def test_of_squads_questions_only_the_corrupt_ones_go(tmp_path, corrupt):
    (tmp_path / "a.json").write_bytes(next(squad({"question": " ", "answers": []})))
    said = corrupt(len(ROWS))
    found, _ = question_files.read(str(tmp_path / "a.json"))
    assert len(found) == len(ROWS) == corrupt_count(said)
    assert "data[0].paragraphs[0].qas[1]: the question has no words" in said[0]
    (tmp_path / "a.json").write_text('{"data": [{"title": "no paragraphs"}]}')  # the file's form, and no record
    with pytest.raises(InputError, match=r"at data\[0\]: no 'paragraphs'; give .*\]}$"):
        question_files.read(str(tmp_path / "a.json"))


def corrupt_count(said):
    """Ten are named, and one line says that more follow."""
    assert len(said) == 11
    assert said[-1] == "left out, corrupt: more records, which are only counted"
    return data.corrupt.corrupt_records().count


def test_a_series_without_a_corrupt_row_has_a_gap(tmp_path, corrupt):
    lines = ["date,a", *(f"2024-01-{n:02},{n}" for n in range(1, 30))]
    for at, line in ((5, "2024-01-05,warm"), (9, "9 January,9"), (12, "2024-01-12,1,2")):
        lines[at] = line
    (tmp_path / "a.csv").write_text("\n".join(lines))
    said = corrupt(3)
    series = data.load_series(f"file:{tmp_path}/a.csv", missing="carry")
    assert np.flatnonzero(~series.known[:, 0]).tolist() == [4, 8, 11]
    assert len(said) == 3
    corrupt(3)
    with pytest.raises(InputError, match=r"line 7: 2024-01-06 follows 2024-01-04, but steps are .*set missing to"):
        data.load_series(f"file:{tmp_path}/a.csv")


def test_a_lone_quotation_mark_costs_one_row(tmp_path, corrupt):
    said = corrupt(1)
    content = 'a,b\n"c,d\n' + "e,f\n" * 3
    assert list(csv_rows.csv_rows("x", content, "mend it")) == [(1, ["a", "b"]), *((n, ["e", "f"]) for n in (3, 4, 5))]
    assert said == ["left out, corrupt: x, the row from line 2 on: damaged CSV (unexpected end of data); mend it"]


def test_a_first_row_that_may_be_a_header_has_to_be_whole(tmp_path, corrupt):
    corrupt(9)
    for content in (b"\xff,label\na,b\n", b'"t"ext,label\na,b\n'):
        (tmp_path / "a.csv").write_bytes(content)
        with pytest.raises(InputError, match=r"is not UTF-8|damaged CSV") as caught:
            labelled_files.read(str(tmp_path / "a.csv"))
        assert "skip_corrupt" not in str(caught.value)


def test_the_scheme_is_that_of_most_sentences(tmp_path, corrupt):
    (tmp_path / "a").write_text("a B-x\nb I-x\n\nc I-x\n\nd B-x\n")
    said = corrupt(1)
    assert conll.read(str(tmp_path / "a")) == [("a b", "B-x I-x"), ("d", "B-x")]
    assert "line 4: I-x cannot begin a sentence in IOB2" in said[0]
