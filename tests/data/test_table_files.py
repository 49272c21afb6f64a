import gzip

import pytest

from nlpx.data.table_files import number, numbers, read
from nlpx.errors import InputError

TABLE = "long,wide,kind\n5.1,3.5,a\n4.9,-3e1,b\n"


@pytest.fixture
def write(tmp_path):
    def written(content, name="a.csv"):
        path = tmp_path / name
        content = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return str(path)

    return written


@pytest.mark.parametrize(
    "content",
    [
        TABLE,
        TABLE.replace("\n", "\r\n"),
        TABLE.rstrip("\n"),
        "\ufeff" + TABLE,
        "\n" + TABLE + "\n\n",
        TABLE.replace(",", ";"),
        TABLE.replace(",", "\t"),
        TABLE.replace(",", ", "),
        TABLE.replace("long", '"long"').replace("a\n", '"a"\n'),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz"])
def test_a_table_with_a_header(write, content, name):
    sheet = read(write(content, name))
    assert (sheet.names, sheet.header, sheet.target) == (("long", "wide", "kind"), True, 2)
    assert [numbers(sheet, row, [0, 1]) for row in sheet.rows] == [[5.1, 3.5], [4.9, -30]]
    assert [row[2] for _, row in sheet.rows] == ["a", "b"]


def test_a_table_without_one(write):
    path = write("5.1,3.5,a\n4.9,3.0,b\n")
    sheet = read(path)
    assert (sheet.names, sheet.header, sheet.target) == (("column 1", "column 2", "column 3"), False, 2)
    assert [line for line, _ in sheet.rows] == [1, 2]
    assert read(f"{path}:3").target == 2


def test_the_target_by_name_or_place(write):
    path = write("kind,long,wide\na,1,2\nb,3,4\n")
    assert read(f"{path}:kind").target == read(f"{path}:1").target == 0
    assert read(path).target == 2
    assert read(path, default="long").target == 1
    assert read(path, default="nowhere").target == 2
    assert read(write("a,1,2\nb,3,4\n") + ":1").header is False


def test_a_quoted_field_may_hold_a_separator_or_a_line_end(write):
    sheet = read(write('long,kind\n1,"a, or b"\n2,"two\nlines"\n3,c\n'))
    assert sheet.rows == [(2, ["1", "a, or b"]), (3, ["2", "two\nlines"]), (5, ["3", "c"])]


@pytest.mark.parametrize("cell", ["", "x", "nan", "inf", "-Infinity", "1,5", "1e999", "?"])
def test_what_is_no_number(cell):
    assert number(cell) is None


BAD = {
    "x,y\n1,2\n,3\n": "line 3, column 'x': an empty cell is no number; .* leave the column out with skip",
    "x,y\n1,2\nnan,3\n": "line 3, column 'x': 'nan' is no number",
    "x,y\n1,2\ntall,3\n": "line 3, column 'x': 'tall' is no number",
    "1,5,2\n1,NA,2\n": "line 2, column '2': 'NA' is no number",
    "1,NA,2\n1,5,2\n": "line 1, column 2: 'NA' is no number, but others of this row are",
    "x,y\n1,2\n1,2,3\n": "line 3: 3 columns, but 2 in the first row",
    "x,y\n": "a header and no row",
    "\n \n": "holds no row",
    "one\ntwo\n": "has one column",
    "x,x,y\n1,2,3\n": "several columns 'x'",
    'x,y\n1,"2\n': "the row from line 2 on: damaged CSV",
}


@pytest.mark.parametrize("content", BAD)
def test_a_table_that_will_not_do_is_named_with_line_and_column(write, content):
    path = write(content)

    def read_all():
        sheet = read(path)
        features = [place for place in range(len(sheet.names)) if place != sheet.target]
        return [numbers(sheet, row, features) for row in sheet.rows]

    with pytest.raises(InputError, match=BAD[content]) as error:
        read_all()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "target", "message"),
    [
        ("x,y\n1,2\n", "z", "has no column 'z'; it has 'x', 'y'"),
        ("1,2\n3,4\n", "z", "has no header, so no column 'z'"),
        ("1,2\n3,4\n", "3", "has 2 columns, but the target is sought in 3"),
        ("1,2\n3,4\n", "9" * 5000, "has no header, so no column '9"),
        ("1,2\n3,4\n", "0", "has 2 columns, but the target is sought in 0"),
    ],
)
def test_a_target_that_is_not_there_is_named(write, content, target, message):
    with pytest.raises(InputError, match=message):
        read(f"{write(content)}:{target}")


def test_files_that_cannot_be_read(write, tmp_path):
    for argument, message in (
        (str(tmp_path / "none.csv"), "No such file"),
        (str(tmp_path), "is a folder"),
        ("a.csv,b.csv", "names several files"),
        (write(b"", "empty.csv"), "is empty"),
        (write(b"x,y\n\xff,2\n"), "is not UTF-8"),
    ):
        with pytest.raises(InputError, match=message):
            read(argument)
