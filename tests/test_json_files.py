import json
import re

import pytest

from nlpx.errors import InputError
from nlpx.json_files import excerpt, read_json, read_tables, write_json, write_table


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"a": 1', b"[1]", b"[" * 100_000])
def test_a_damaged_file_is_named(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=re.escape(f"cannot read {path}")):
        read_json(path)
    with pytest.raises(InputError, match=r"holds no run: it has no summary\.json"):
        read_json(tmp_path / "summary.json")


def test_an_excerpt_of_a_deep_value_is_its_beginning():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    assert excerpt(deep) == "[" * 40
    assert excerpt({"a": [None, 1.5]}) == '{"a": [null, 1.5]}'


def test_files_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"old": 1})
    with pytest.raises(TypeError):
        write_json(path, {"new": object()})
    assert read_json(path) == {"old": 1}
    # A reader that has opened the file sees the old one to the end, for the new one takes its place.
    with path.open() as reader:
        write_json(path, {"new": 2})
        assert json.load(reader) == {"old": 1}
    assert read_json(path) == {"new": 2}


def test_a_file_has_several_tables_and_a_new_one_replaces_its_own(tmp_path):
    path = tmp_path / "machine.json"
    row = {"case": "a", "who": "b", "quartiles": [1.0, 2.0], "failure": None}
    write_table(path, "one", {"cores": 2}, [row, row])
    write_table(path, "other", {"cores": 2}, [])
    write_table(path, "one", {"cores": 3}, [row])
    assert read_tables(path) == {"one": ({"cores": 3}, [row]), "other": ({"cores": 2}, [])}
    assert [file.name for file in tmp_path.iterdir()] == ["machine.json"]


@pytest.mark.parametrize("text", ["{", '{"learning_rate": 0.1}', "[]", '{"a": {"columns": ["x"], "rows": [[1, 2]]}}'])
def test_a_file_of_something_else_is_refused(text, tmp_path):
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(InputError, match="holds no figures of benchmarks"):
        read_tables(path)
