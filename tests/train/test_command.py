import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pytest

from nlpx.config import LanguageModelConfig, TrainConfig
from nlpx.train import over_seeds


@dataclass(frozen=True)
class Config:
    experiment: ClassVar[str] = "stub"
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    train: TrainConfig = field(default_factory=TrainConfig)


def run(config):
    seed = config.train.seed
    return {
        "steps": 5,
        "test": {"accuracy": 0.5 + seed / 10, "per_class": [{"f1": seed}]},
        "data": {"train": seed},
        "workdir": config.train.workdir,
    }


def of(**train):
    return Config(train=TrainConfig(**train))


def test_without_seeds_it_is_one_run():
    assert over_seeds(run, of(seed=3, workdir="there"))["test"]["accuracy"] == 0.8


def test_each_seed_runs_in_a_folder_of_its_own_and_mean_and_spread_are_told(tmp_path, capsys):
    asked = []

    def note(config):
        asked.append(config)
        return run(config)

    summary = over_seeds(note, of(seeds="0,2,4", workdir=str(tmp_path), steps=7))
    assert [(c.train.seed, c.train.workdir) for c in asked] == [(s, str(tmp_path / f"seed-{s}")) for s in (0, 2, 4)]
    assert {c.train.steps for c in asked} == {7}
    assert summary["figures"] == {
        "test.accuracy": {"mean": pytest.approx(0.7), "sd": pytest.approx(0.2), "values": [0.5, 0.7, 0.9]}
    }
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert "test.accuracy" in capsys.readouterr().out


def test_the_folder_above_does_not_depend_on_which_seeds(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "stub").mkdir(parents=True)
    tops = []

    def note(config):
        tops.append(Path(config.train.workdir).parent)
        tops[-1].mkdir(exist_ok=True)
        return run(config)

    for seeds, steps in (("0", 7), ("3", 7), ("0", 8)):
        over_seeds(note, of(seeds=seeds, steps=steps))
    assert tops[0] == tops[1] != tops[2]


@pytest.mark.parametrize(
    ("seeds", "named"), [("1,x", "whole numbers"), ("", "whole numbers"), ("1,2,1", "names one twice")]
)
def test_seeds_are_distinct_numbers(seeds, named):
    with pytest.raises(ValueError, match=named):
        over_seeds(run, of(seeds=seeds))


def test_a_folder_of_a_single_run_is_left_alone(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="holds a single run"):
        over_seeds(run, of(seeds="0,1", workdir=str(tmp_path)))
