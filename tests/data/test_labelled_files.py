import gzip
import json

import pytest

from nlpx.data.labelled_files import read
from nlpx.errors import InputError

EXAMPLES = [("good film", "pos"), ("bad, film", "neg"), ("Ça va", "pos")]
TABLE = "".join(f"{text}\t{label}\n" for text, label in EXAMPLES)


@pytest.fixture
def write(tmp_path):
    def written(name, content):
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return written


def refuse(message, argument):
    with pytest.raises(InputError, match=message) as error:
        read(argument)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a", "a.TSV", "a.tsv.gz", "a.csv.txt"])
def test_tables_parted_by_tabs(write, name):
    assert read(write(name, TABLE)) == EXAMPLES


@pytest.mark.parametrize("name", ["a.csv", "a.CSV", "a.csv.gz"])
def test_csv_has_quotes(write, name):
    content = 'good film,pos\n"bad, film",neg\n"two\nlines, ""quoted""",pos\n'
    assert read(write(name, content)) == [*EXAMPLES[:2], ('two\nlines, "quoted"', "pos")]


def test_quotes_are_characters_between_tabs(write):
    assert read(write("a.tsv", '"good\tpos\nbad" a\tneg\n')) == [('"good', "pos"), ('bad" a', "neg")]


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.jsonl.gz"])
def test_json_lines(write, name):
    lines = [json.dumps({"label": label, "id": 3, "text": text}) for text, label in EXAMPLES]
    assert read(write(name, "\n".join(lines))) == EXAMPLES


def test_labels_in_json_may_be_no_strings(write):
    labels = ["x", 1, -2, 0.5, True, False]
    path = write("a.jsonl", "".join(json.dumps({"text": "a", "label": label}) + "\n" for label in labels))
    assert [label for _, label in read(path)] == ["x", "1", "-2", "0.5", "true", "false"]


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
@pytest.mark.parametrize("change", ["crlf", "mark", "no end", "blank lines", "all"])
def test_ends_of_lines_and_marks(write, name, change):
    rows = {"tsv": "{}\t{}", "csv": '"{}",{}', "jsonl": '{{"text": "{}", "label": "{}"}}'}
    content = "\n".join(rows[name.split(".")[1]].format(*example) for example in EXAMPLES) + "\n"
    if change in ("blank lines", "all"):
        content = "\n" + content.replace("\n", "\n\n")
    if change in ("no end", "all"):
        content = content.rstrip("\n")
    if change in ("crlf", "all"):
        content = content.replace("\n", "\r\n")
    if change in ("mark", "all"):
        content = "\ufeff" + content
    assert read(write(name, content)) == EXAMPLES


def test_only_line_ends_end_lines(write):
    assert read(write("a.tsv", "a\u2028b\x85c\tpos\n")) == [("a\u2028b\x85c", "pos")]
    assert read(write("a.jsonl", '{"text": "a\u2028b", "label": "pos"}\n')) == [("a\u2028b", "pos")]


@pytest.mark.parametrize(
    "header",
    ["id\ttext\tlabel", "id\tsentence\tlabel", "id\treview\tsentiment", "id\tText\tLABEL", "review\ttext\tlabel"],
)
def test_known_headers(write, header):
    assert read(write("a.tsv", f"{header}\n1\tgood\tpos\n")) == [("good", "pos")]
    assert read(write("a.csv", f"{header}\n1\tgood\tpos\n".replace("\t", ","))) == [("good", "pos")]


def test_half_a_header_is_none(write):
    assert read(write("a.tsv", "text\tpos\ngood\tlabel\n")) == [("text", "pos"), ("good", "label")]


def test_columns_by_name_and_by_place(write):
    table = write("a.tsv", "class\tbody of it\tn\npos\tgood\t1\nneg\tbad\t2\n")
    assert read(f"{table}:body of it,class") == [("good", "pos"), ("bad", "neg")]
    assert read(f"{table}:2,1") == [("body of it", "class"), ("good", "pos"), ("bad", "neg")]
    assert read(f"{table}:2,3")[1] == ("good", "1")
    keys = write("a.jsonl", '{"body": "good", "2": "pos"}\n')
    assert read(f"{keys}:body,2") == [("good", "pos")]
    # A known header is no header where places are given.
    assert read(write("b.csv", "text,label\na,b\n") + ":1,2") == [("text", "label"), ("a", "b")]


def test_home_is_expanded(write, tmp_path, monkeypatch):
    write("a.tsv", TABLE)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert read("~/a.tsv") == EXAMPLES
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    refuse("is a folder; name the file", f"~/{tmp_path.name}")


def test_ragged_rows(write):
    refuse(r"a.tsv, line 3: 1 columns, but 2 in the first row", write("a.tsv", "a\tb\n\nc d\n"))
    refuse(r"a.tsv, line 2: 3 columns, but 2 in the first row.*tab within", write("a.tsv", "a\tb\nc\td\te\n"))
    refuse(r"a.csv, line 2: 3 columns, but 2 .*quote fields", write("a.csv", "text,label\nwell, good,pos\n"))
    # The line is counted where lines are within quotes too.
    refuse(r"a.csv, line 4: 1 columns", write("a.csv", '"a\nb\nc",x\nd\n'))


def test_damaged_csv(write):
    refuse(r"a.csv, the row from line 2 on: damaged CSV \(.*\); put a field", write("a.csv", 'a,b\n"c,d\ne,f\n'))
    refuse(r"a.csv, the row from line 3 on: damaged CSV \(.*\)", write("a.csv", 'a,b\nc,d\n"e"f,g\n'))


def test_damaged_json(write):
    good = '{"text": "a", "label": "b"}\n'
    refuse(r"a.jsonl, line 2: damaged JSON \(.*\); each line", write("a.jsonl", good + '{"text": "a"\n' + good))
    refuse(r"a.jsonl, line 1: damaged JSON", write("a.jsonl", "[" * 200_000 + "\n"))
    deep = write("a.jsonl", f'{{"text": {"[" * 500}{"]" * 500}, "label": 1}}\n')
    refuse(r"a.jsonl, line 1: the text is no string, but \[{40};", deep)
    refuse(r"a.jsonl, line 3: no JSON object, but '\[1, 2\]'", write("a.jsonl", good + "\n[1, 2]\n"))
    refuse(r"a.jsonl, line 1: the text is no string, but 7", write("a.jsonl", '{"text": 7, "label": "b"}\n'))
    refuse(r"a.jsonl, line 1: the label is null", write("a.jsonl", '{"text": "a", "label": null}\n'))
    refuse(r"a.jsonl, line 1: the label is \[\]", write("a.jsonl", '{"text": "a", "label": []}\n'))
    refuse(r"a.jsonl, line 1: half a character", write("a.jsonl", '{"text": "a\\ud83d", "label": "b"}\n'))


def test_missing_columns(write):
    objects = write("a.jsonl", '{"text": "a", "label": "b"}\n{"text": "a", "class": "b"}\n')
    refuse(r"a.jsonl, line 2: no key 'label'; it has 'text', 'class'; name two", objects)
    refuse(r"a.jsonl, line 1: no key 'body'; it has 'text', 'label'", f"{objects}:body,label")
    table = write("a.tsv", "body\tclass\tclass\na\tb\tc\n")
    refuse(r"a.tsv has no column 'text' in its first row; it has 'body', 'class', 'class'", f"{table}:text,class")
    refuse(r"a.tsv has several columns 'class' in its first row", f"{table}:body,class")
    refuse(r"a.tsv has no column '2' in its first row", f"{table}:body,2")
    refuse(r"a.tsv has 3 columns \(parted by tabs\), but text and label are sought in 4 and 1", f"{table}:4,1")
    refuse(r"a.txt has 1 columns \(parted by tabs\), .* in 1 and 2", write("a.txt", "a,b\n"))
    refuse(r"a.csv has 1 columns \(parted by commas\)", write("a.csv", "a\tb\n"))
    many = write("b.tsv", "\t".join(f"c{i}" for i in range(20)) + "\n")
    refuse(r"it has 'c0', .*'c11', \.\.\.$", f"{many}:text,label")


def test_columns_that_cannot_be(write):
    path = write("a.tsv", TABLE)
    refuse("columns 1,1 of .*a.tsv cannot be text and label", f"{path}:1,1")
    refuse("columns 0,1 of .*a.tsv cannot be text and label", f"{path}:0,1")
    refuse("has no column '1'", f"{write('b.tsv', TABLE)}:1,{'9' * 5000}")
    refuse("columns text,text of .*a.tsv cannot be text and label", f"{path}:text,text")
    refuse("names several files; give one", f"{path},{path}")


def test_empty_values(write):
    refuse(r"a.tsv, line 2: the text is empty; fill it in", write("a.tsv", "a\tb\n \tb\n"))
    refuse(r"a.tsv, line 3: the label is empty", write("a.tsv", "a\tb\n\na\t\n"))
    refuse(r"a.tsv, line 2: the text is empty", write("a.tsv", "a\tb\n\t\n"))
    refuse(r"a.csv, line 2: the label is empty", write("a.csv", 'text,label\na,"\u00a0"\n'))
    refuse(r"a.jsonl, line 1: the text is empty", write("a.jsonl", '{"text": "\\n", "label": "b"}\n'))


def test_files_without_examples(write, tmp_path):
    refuse("a.tsv is empty; give a file with text", write("a.tsv", ""))
    refuse("every file is empty", write("a.tsv.gz", ""))
    for name, content in (("a.tsv", "\n \n"), ("a.csv", "text,label\n"), ("a.jsonl", "\n"), ("b.csv", "\n\n")):
        refuse("holds no example; give a file with a text and its label", write(name, content))
    refuse(f"{tmp_path.name} is a folder; name the file", str(tmp_path))
    refuse("cannot read .*none.tsv: No such file", f"{tmp_path}/none.tsv")
    refuse("cannot read .*none.tsv: No such file", f"{tmp_path}/none.tsv:text,label")
    refuse("names an empty path", "")


def test_bytes_that_are_no_utf8(write):
    refuse("a.csv is not UTF-8: byte 0xe9 at byte offset 2", write("a.csv", b"a,\xe9\n"))
    (path := write("b.csv.gz", "a,b\n"))
    with open(path, "r+b") as file:
        file.truncate(12)
    refuse("b.csv.gz is not a whole gzip file", path)
