import gzip
import os

import pytest

from nlpx.data.text_files import load, paths, read
from nlpx.errors import InputError


def test_files_run_together_and_line_ends_stay(tmp_path):
    (tmp_path / "a").write_bytes("\ufeffone\r\ntwo".encode())
    (tmp_path / "b.gz").write_bytes(gzip.compress("trois é\n".encode()))
    (tmp_path / "c").write_bytes(b"\rfour")
    assert read(f"{tmp_path}/a,{tmp_path}/b.gz,{tmp_path}/c") == "one\r\ntwo\ntrois é\n\rfour"


def test_a_folder_gives_its_text_files_in_order(tmp_path):
    for name in ["b.txt", "a.md", "sub/c.rst.gz", "sub/d.tokens", "x.py", "sub/y.gz", "e.txt.bz2", "z.text"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        content = f"{name}\n".encode()
        path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    (tmp_path / "empty.txt").touch()
    os.mkdir(tmp_path / "folder.txt")
    assert read(str(tmp_path)) == "a.md\nb.txt\nsub/c.rst.gz\nsub/d.tokens\nz.text\n"


def test_the_split_is_by_characters(tmp_path):
    (tmp_path / "a").write_text("é" * 95, encoding="utf-8")
    assert load(f"{tmp_path}/a", 0.1) == ("é" * 85, "é" * 10)


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "a").write_text("a")
    assert paths("~/a") == [f"{tmp_path}/a"]


def refuse(argument, message):
    with pytest.raises(InputError, match=message) as error:
        read(argument)
    assert "\n" not in str(error.value)


def test_missing_and_empty(tmp_path):
    refuse("", "empty path")
    refuse(f"{tmp_path}/a", "/a: No such file")
    (tmp_path / "a").touch()
    refuse(f"{tmp_path}/a", "/a is empty")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b""))
    refuse(f"{tmp_path}/a.gz", "every file is empty")
    refuse(str(tmp_path), r"holds no text file; a name must end in \.txt, \.md")


def test_bytes_that_are_no_utf8_are_placed(tmp_path):
    content = "\ufeffé\n".encode() + b"\xe9tude"
    (tmp_path / "a").write_bytes(content)
    refuse(f"{tmp_path}/a", "/a is not UTF-8: byte 0xe9 at byte offset 6, line 2;")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"x" * 70000 + content))
    refuse(f"{tmp_path}/a.gz", r"/a\.gz is not UTF-8: byte 0xe9 at byte offset 70006 of the unpacked text")


@pytest.mark.parametrize(
    "damage", [lambda z: z[:-4], lambda z: z[:20], lambda z: b"text", lambda z: z[:12] + b"\xff\xff\xff" + z[15:]]
)
def test_damaged_gzip(tmp_path, damage):
    (tmp_path / "a.gz").write_bytes(damage(gzip.compress(bytes(range(100)) * 9)))
    refuse(f"{tmp_path}/a.gz", r"a\.gz is not a whole gzip file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs fifos")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    refuse(f"{tmp_path}/pipe", "neither a file nor a folder")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_unreadable(tmp_path):
    (tmp_path / "a").write_text("a")
    (tmp_path / "a").chmod(0)
    refuse(f"{tmp_path}/a", "cannot read .*Permission")


def test_linked_folders_and_capital_endings_are_read_and_a_circle_ends(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "ONE.TXT").write_text("one\n")
    with gzip.open(tmp_path / "two.txt.GZ", "wt") as file:
        file.write("two\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "three.txt").write_text("three\n")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "a" / "circle").symlink_to(tmp_path / "a")
    assert read(str(tmp_path / "a")) == "one\nthree\n"
    assert read(str(tmp_path / "two.txt.GZ")) == "two\n"


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_no_file_can_be_called(name):
    refuse(name, "cannot read .*; give the path of a text file")
