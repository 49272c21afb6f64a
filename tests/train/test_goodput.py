import json

import pytest

from nlpx.errors import InputError
from nlpx.train.goodput import Goodput, wall


def write(folder, *records):
    (folder / "starts.jsonl").write_text("".join(json.dumps(each) + "\n" for each in records))


def test_time_after_a_kill_counts_and_a_pause_does_not(tmp_path):
    starts = {"started": 100.0, "step": 0}, {"started": 130.0, "step": 5}  # killed in between
    write(tmp_path, *starts, {"ended": 150.0}, {"started": 1000.0, "step": 9}, {"ended": 1007.0})
    assert wall(tmp_path) == (57.0, 3)


def test_a_run_notes_its_starts_and_its_end(tmp_path):
    Goodput(tmp_path, 0)
    Goodput(tmp_path, 3).end()
    seconds, starts = wall(tmp_path)
    assert starts == 2
    assert seconds >= 0
    records = [json.loads(line) for line in (tmp_path / "starts.jsonl").read_text().splitlines()]
    assert [each.get("step") for each in records] == [0, 3, None]


def test_without_a_record_there_is_nothing_to_tell(tmp_path):
    assert wall(tmp_path) == (0.0, 0)


@pytest.mark.parametrize("text", ["{", "[1]\n", '{"started": "x"}\n{"ended": 1}\n', '{"started": 1}\n{}\n'])
def test_a_damaged_record_is_named(tmp_path, text):
    (tmp_path / "starts.jsonl").write_text(text)
    with pytest.raises(InputError, match=r"starts.jsonl is damaged: remove it"):
        wall(tmp_path)
