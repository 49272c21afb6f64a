import io
import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import forecast
from nlpx.data import Scaling
from nlpx.train import load

pytestmark = pytest.mark.thorough

PNG = b"\x89PNG\r\n\x1a\n"
SMALL = ["--layers=1", "--width=8", "--batch-size=32", "--mesh=data=1", "--learning-rate=0.02", "--dropout=0"]
SMALL += ["--steps=60", "--eval-every=30", "--log-every=20", "--history=8", "--horizon=3"]
RUNS = {"gru": ["--arch=gru"], "transformer": ["--arch=transformer", "--heads=2", "--quantiles=0.1,0.25,0.5,0.75,0.9"]}
COUNT = 400


def rows(start=0, count=COUNT):
    """Days of two variables: a wave of eight days, and its negative a day later."""
    at = np.arange(start, start + count)
    noise = np.random.default_rng(0).normal(0, 0.05, (start + count, 2))[at]
    values = np.stack([10 + np.sin(np.pi * at / 4), 3 - 2 * np.sin(np.pi * (at - 1) / 4)], axis=1) + noise
    dates = np.datetime64("2020-01-01") + at
    lines = (f"{date},{a:.3f},{b:.3f},mild\n" for date, (a, b) in zip(dates, values, strict=True))
    return "day,up,down,words\n" + "".join(lines)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("series") / "days.csv"
    path.write_text(rows())
    return path


@pytest.fixture(
    scope="module", params=[pytest.param(name, marks=[pytest.mark.slow] * (name != "gru")) for name in RUNS]
)
def run(request, data, call_once, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("forecast") / request.param
    flags = [*SMALL, *RUNS[request.param], f"--data=file:{data}", f"--workdir={workdir}"]
    assert call_once(forecast, flags) == 0
    return request.param, workdir


def test_a_run_from_end_to_end(run):
    arch, workdir = run
    summary = json.loads((workdir / "summary.json").read_text())
    assert summary.items() >= {"experiment": "forecast", "arch": arch, "steps": 60}.items()
    assert summary["data"]["dropped"] == {"loading": {"column without numbers: words": 1}}
    test = summary["test"]
    assert (test["origins"], test["horizon"], test["from"], test["to"]) == (78, 3, "2020-11-16", "2021-02-03")
    for each in test["variables"].values():
        errors = {who: figures["mae"] for who, figures in each["errors"].items()}
        assert errors.keys() == {"model", "persistence", "climatology", "sarima"}
        assert all(errors["model"][step] < errors["persistence"][step] for step in ("1", "2", "3", "mean"))
        assert errors["model"]["mean"] < errors["climatology"]["mean"]
    for name in ("forecast", "error_by_horizon", "loss_by_step", "loss_by_seconds"):
        assert (workdir / "plots" / f"{name}.png").read_bytes().startswith(PNG)
    assert not (workdir / "tokenizer.json").exists()


def test_the_test_figures_are_those_of_the_files_alone(run, data):
    """The median once more, in numpy around the bare model."""
    _, workdir = run
    trained, test = load(workdir), json.loads((workdir / "summary.json").read_text())["test"]
    scaling = Scaling.from_json(trained.model.scaling)
    table = [line.split(",") for line in data.read_text().splitlines()[1:]]
    dates, values = np.array([row[0] for row in table], "M8[s]"), np.array([row[1:3] for row in table], float)
    season = scaling.season_mean(dates)
    inputs = np.concatenate([(values - season) / scaling.scale, scaling.calendar(dates)], axis=1).astype(np.float32)
    starts = np.arange(320, COUNT - 2)  # the first step that is forecast
    ahead = starts[:, None] + np.arange(3)
    quantiles = np.asarray(jax.jit(trained.apply)(jnp.asarray(inputs[starts[:, None] - 8 + np.arange(8)])))
    median = quantiles[..., trained.model.config.levels.index(0.5)] * np.array(scaling.scale) + season[ahead]
    for at, name in enumerate(("up", "down")):
        found = test["variables"][name]["errors"]["model"]
        error = np.abs(median - values[ahead])[..., at]
        assert found["mae"]["mean"] == pytest.approx(error.mean(), rel=1e-5)
        assert found["mae"]["2"] == pytest.approx(error[:, 1].mean(), rel=1e-5)


def test_it_forecasts_what_follows_a_file(run, data, command, monkeypatch, capsys):
    arch, workdir = run
    assert command(forecast, [f"--workdir={workdir}", f"--predict={data}"]) == 0
    header, *lines = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    levels = RUNS[arch][-1].partition("=")[2].split(",") if arch == "transformer" else ["0.1", "0.5", "0.9"]
    assert header == ["date", *(f"{name} {level}" for name in ("up", "down") for level in levels)]
    assert [line[0] for line in lines] == ["2021-02-04", "2021-02-05", "2021-02-06"]
    numbers = np.array([line[1:] for line in lines], float).reshape(3, 2, len(levels))
    assert (np.diff(numbers, axis=-1) >= 0).all()
    truth = np.array([line.split(",")[1:3] for line in rows(COUNT, 3).splitlines()[1:]], float)
    assert np.abs(numbers[..., levels.index("0.5")] - truth).max() < 1
    content = rows().replace("\n", "\r\n").removesuffix("\r\n").encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xef\xbb\xbf" + content)))
    assert command(forecast, [f"--workdir={workdir}", "--predict=-"]) == 0
    assert [line.split("\t") for line in capsys.readouterr().out.splitlines()] == [header, *lines]


def test_another_series_is_measured(run, command, tmp_path, capsys):
    _, workdir = run
    (tmp_path / "later.csv").write_text(rows(COUNT, 60))
    assert command(forecast, [f"--workdir={workdir}", f"--evaluate=file:{tmp_path / 'later.csv'}"]) == 0
    out = capsys.readouterr().out
    assert "from 50 origins, 2021-02-12 to 2021-04-04" in out
    assert "not measured: SARIMA: it is fitted only on the series the model was trained on" in out
    test = json.loads((workdir / "evaluation" / "summary.json").read_text())["test"]
    for each in test["variables"].values():
        assert each["errors"]["model"]["mae"]["mean"] < each["errors"]["persistence"]["mae"]["mean"]


@pytest.mark.parametrize(
    ("flag", "content", "named"),
    [
        ("--predict=x.csv", "day,up\n2020-01-01,1\n2020-01-02,2\n2020-01-03,2\n", "has no column 'down'"),
        ("--predict=x.csv", rows(0, 5), "file:x.csv has 5 rows, but this model needs a history of 8"),
        ("--predict=x.csv", rows().replace(",mild\n2020-01-02", "x,mild\n2020-01-02"), "x.csv, line 2, column 'down'"),
        ("--predict=y.csv", rows(), "cannot read y.csv"),
        ("--evaluate=file:x.csv", rows(0, 10), "needs a history of 8 and a horizon of 3"),
        ("--evaluate=file:x.csv", rows().replace("2020-01-03", "2020-01-02"), "2020-01-02 appears twice"),
    ],
)
def test_a_file_that_does_not_fit_the_model_is_named(run, command, tmp_path, monkeypatch, capsys, flag, content, named):
    (tmp_path / "x.csv").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert command(forecast, [f"--workdir={run[1]}", flag]) == 2
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert named in line
    assert captured.out == ""


@pytest.mark.parametrize(
    ("content", "flags", "named"),
    [
        (rows().replace("2020-01-05,", "2020-01-05,warm"), [], "x.csv, line 6, column 'up'"),
        (rows().replace("2020-01-05,", "2020-01-05,,"), [], "line 6: 5 columns, but the first row has 4"),
        (rows().replace("2020-01-05", "2020-01-04T12:00"), [], "x.csv, line 6: 2020-01-04T12:00"),
        (rows().replace("mild\n2020-01-05", "mild\n2020-01-04"), [], "x.csv, line 6: 2020-01-04 appears twice"),
        (
            rows(),
            ["--horizon=41"],
            "the validation part of file:x.csv has 40 of its 400 steps, but a horizon of 41 needs 41",
        ),
        (rows(), ["--history=278"], "the train part of file:x.csv has 280 of its 400 steps"),
        (rows(), ["--test-fraction=0.95"], "leave nothing to train on"),
        (rows(), ["--validation-fraction=0.0001"], "the validation part of file:x.csv has 0 of its 400 steps"),
        (rows(), ["--quantiles=0.1,0.9"], "quantiles must be rising levels in (0, 1) with 0.5 among them"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(command, tmp_path, monkeypatch, capsys, content, flags, named):
    (tmp_path / "x.csv").write_text(content)
    monkeypatch.chdir(tmp_path)
    assert command(forecast, [*SMALL, "--data=file:x.csv", *flags]) == 2
    captured = capsys.readouterr()
    assert named in " ".join(captured.err.replace("│", " ").split())
    assert captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]
