"""The resume law, on real runs: processes that are killed, and what is on disk after them."""

import datetime
import functools
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from laws import assert_identical
from PIL import Image

from experiments import cli, language_model
from nlpx.config import TrainConfig
from nlpx.errors import InputError
from nlpx.train import DivergedError, load, train
from nlpx.train.loop import catch_signals
from nlpx.train.workdir import read_metrics

PLAN = "--steps=120 --eval-every=30 --log-every=7 --batch-size=16"
SMALL = f"--layers=1 --width=32 --dropout=0.1 {PLAN}"
RUNS = {  # the experiment, what it reads, and its flags
    "lstm": ("language_model", "text.txt", f"{SMALL} --seq-len=16 --carry-state --initial=learned --mesh=data=2"),
    "transformer": (
        "language_model",
        "text.txt",
        f"{SMALL} --seq-len=16 --arch=transformer --heads=2 --grad-accumulation=2 --mesh=data=1",
    ),
    "classify": ("classify", "labels.tsv", f"{SMALL} --arch=gru --mesh=data=2 --buckets=1"),
    "pretrain": ("pretrain", "text.txt", f"{SMALL} --seq-len=16 --mesh=data=2 --tokenizer=char"),
    "feed_forward": ("feed_forward", "rows.csv", SMALL),
    "tag": ("tag", "tags.conll", f"{SMALL} --crf --buckets=1"),
    "forecast": ("forecast", "series.csv", SMALL),
    "caption": ("caption", "pictures/captions.tsv", f"{SMALL} --arch=gru --size=8"),
    "translate": ("translate", "pairs.tsv", f"{SMALL} --arch=gru --attention=luong --buckets=1 --tokenizer=char"),
    "summarize": ("summarize", "pairs.tsv", f"{SMALL} --arch=gru --attention=bahdanau --copy --buckets=1"),
    "answer": ("answer", "questions.jsonl", f"{SMALL} --arch=gru --buckets=1 --tokenizer=char"),
    "finetune": ("finetune", "labels.tsv", f"{PLAN} --dropout=0.1 --from={{start}} --mesh=data=2,model=2 --lora=2"),
    "head_only": ("finetune", "labels.tsv", f"{PLAN} --from={{start}} --mesh=data=2 --head-only"),
}
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with something for each experiment to read."""
    folder, rng = tmp_path_factory.mktemp("data"), random.Random(0)

    def write(name, lines):
        (folder / name).write_text("".join(f"{line}\n" for line in lines))

    text = "".join(rng.choice("abcdefgh  \n") for _ in range(8000))
    (folder / "text.txt").write_text(text)
    lines = [" ".join(line.split()) for line in text.splitlines() if line.strip()]
    write("labels.tsv", [f"{line}\t{'few' if len(line) < 8 else 'many'}" for line in lines])
    write("pairs.tsv", [f"{line}\t{line[::-1]}" for line in lines])
    write("tags.conll", ["\n".join(f"{w} {'B-x' if 'a' in w else 'O'}" for w in line.split()) + "\n" for line in lines])
    write("rows.csv", ["size,weight,kind", *(f"{n % 7},{n % 5},{'ab'[n % 2]}" for n in range(200))])
    days = (datetime.date(2020, 1, 1) + datetime.timedelta(day) for day in range(400))
    write("series.csv", ["date,degrees", *(f"{day},{rng.random():.3f}" for day in days)])
    questions = [
        {"context": line, "question": f"what follows {line.split()[0]}?", "answers": [line.split()[1]]}
        for line in dict.fromkeys(lines)
        if len(line.split()) > 2
    ]
    write("questions.jsonl", map(json.dumps, questions))
    (folder / "pictures").mkdir()
    for n in range(100):
        Image.new("L", (8, 8), n).save(folder / f"pictures/{n}.png")
    write("pictures/captions.tsv", [f"{n}.png\tpicture {'xyz'[n % 3]}" for n in range(100)])
    return folder


def model_to_start_from(data):
    """The workdir of a small Transformer that was trained on the text."""
    flags = "--objective=causal --arch=transformer --heads=2 --layers=1 --width=32 --seq-len=16 --tokenizer=char"
    more = f"--steps=2 --data=file:{data / 'text.txt'} --workdir={data / 'start'}"
    command = [sys.executable, "-m", "experiments.pretrain", *flags.split(), *more.split()]
    if not (data / "start" / "summary.json").exists():
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return data / "start"


class Run:
    """A run of an experiment in a process of its own."""

    def __init__(self, data, workdir, name, *more):
        experiment, source, flags = RUNS[name]
        if "{start}" in flags:
            flags = flags.format(start=model_to_start_from(data))
        flags = [*flags.split(), *more, f"--data=file:{data / source}", f"--workdir={workdir}"]
        self.workdir = workdir
        self.command = [sys.executable, "-m", f"experiments.{experiment}", *flags]
        self.environment = {name: value for name, value in os.environ.items() if name != "NPROC"}

    def start(self):
        return subprocess.Popen(
            self.command, cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def to_the_end(self):
        process = self.start()
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
        return errors

    def signal_at(self, moment, number):
        """Starts, sends the signal at the moment, and returns the exit code and what was written on stderr.

        The process is frozen while the moment is checked, so that it cannot have passed when the signal arrives.
        """
        process = self.start()
        while process.poll() is None:
            if moment(self):
                process.send_signal(signal.SIGSTOP)
                hit = moment(self)
                if hit:
                    process.send_signal(number)
                process.send_signal(signal.SIGCONT)
                if hit:
                    _, errors = process.communicate(timeout=300)
                    return process.returncode, errors
            time.sleep(0.001)
        pytest.fail(f"the run ended before {moment.__name__}: {process.communicate()}")

    @property
    def checkpoints(self):
        folder = self.workdir / "checkpoints"
        return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())

    @property
    def saving(self):
        return any((self.workdir / "checkpoints").glob("*.orbax-checkpoint-tmp*"))

    @property
    def last(self):
        records = read_metrics(self.workdir)
        return (records[-1]["step"], records[-1]["split"]) if records else (0, "")

    def outcome(self):
        """All losses and the final parameters; not the times, which differ."""
        records = read_metrics(self.workdir)
        losses = [{k: v for k, v in r.items() if k not in ("seconds", "tokens_per_second")} for r in records]
        trained = load(self.workdir, best=False)
        summary = json.loads((self.workdir / "summary.json").read_text())
        return losses, jax.device_get(trained.params), (trained.step, summary["tokens"], summary["metrics"])


def before_any_checkpoint(run):
    return run.last[1] == "train" and not run.checkpoints


def in_mid_interval(run):
    step, split = run.last
    return split == "train" and bool(run.checkpoints) and step > run.checkpoints[-1]


def while_a_checkpoint_is_saved(run):
    return run.saving and bool(run.checkpoints)


def right_after_a_validation(run):
    return run.last[1] == "validation"


@pytest.fixture(scope="module")
def undisturbed(data, tmp_path_factory):
    """The outcome of a run that nothing happened to."""

    @functools.cache
    def outcome(name):
        run = Run(data, tmp_path_factory.mktemp("undisturbed") / name, name)
        run.to_the_end()
        return run.outcome()

    return outcome


def assert_same(outcome, expected):
    (losses, params, rest), (expected_losses, expected_params, expected_rest) = outcome, expected
    assert losses == expected_losses
    assert rest == expected_rest
    jax.tree.map(np.testing.assert_array_equal, params, expected_params)


@pytest.fixture
def in_process(monkeypatch, capsys):
    """`in_process(run)`: the exit code and what was written on stderr of a language model's run in this process."""

    def call(run):
        monkeypatch.setattr(sys, "argv", run.command[2:])
        capsys.readouterr()
        try:
            cli.run(language_model.main, language_model.Config, None)
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, capsys.readouterr().err

    return call


# A stop by hand in mid interval is the next test's, and one right after a validation that of the slow ones.
KILLS = {
    "lstm": (before_any_checkpoint, while_a_checkpoint_is_saved),
    "transformer": (in_mid_interval, while_a_checkpoint_is_saved, right_after_a_validation),
}
QUICK = ("lstm",)  # the engine and the recipe are the same in all


@pytest.mark.thorough
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in RUNS])
def test_a_run_killed_at_any_moment_ends_where_the_undisturbed_one_ends(data, undisturbed, tmp_path, name):
    run = Run(data, tmp_path / "run", name)
    for moment in KILLS.get(name, (in_mid_interval,)):
        code, _ = run.signal_at(moment, signal.SIGKILL)
        assert code == -signal.SIGKILL
    assert "resuming at step" in run.to_the_end()
    assert_same(run.outcome(), undisturbed(name))


@pytest.mark.thorough
def test_stopped_by_hand_damaged_and_started_again_it_ends_the_same(data, undisturbed, tmp_path, in_process):
    run = Run(data, tmp_path / "run", "lstm")
    code, errors = run.signal_at(in_mid_interval, signal.SIGINT)
    stopped = run.checkpoints[-1]
    assert code == 130
    assert errors.splitlines()[-1] == f"stopped at step {stopped}, saved; the same command goes on from there"

    files = [path for path in (run.workdir / "checkpoints" / str(stopped)).rglob("*") if path.is_file()]
    largest = max(files, key=lambda path: path.stat().st_size)
    largest.write_bytes(largest.read_bytes()[: largest.stat().st_size // 2])
    errors = run.to_the_end()
    assert f"checkpoint {stopped} is damaged" in errors
    assert (run.workdir / "damaged-checkpoints" / str(stopped)).is_dir()
    assert_same(run.outcome(), undisturbed("lstm"))

    def contents():
        folders = ("checkpoints", "metrics.jsonl", "summary.json", "config.json", "tokenizer.json")
        paths = [path for name in folders for path in [run.workdir / name, *(run.workdir / name).rglob("*")]]
        return {path: path.read_bytes() for path in paths if path.is_file()}

    before = contents()
    code, errors = in_process(run)
    assert code == 0
    assert "all steps are done already" in errors
    assert contents() == before


def test_a_diverged_run_says_so_and_keeps_its_last_good_checkpoint(data, tmp_path, in_process):
    flags = "--no-carry-state --arch=elman --optimizer=sgd --clip-norm=0 --learning-rate=1e18 --warmup=100"
    flags += " --eval-every=1 --mesh=data=1"
    code, errors = in_process(Run(data, tmp_path / "run", "lstm", *flags.split()))
    assert code == 2
    (error,) = [line for line in errors.splitlines() if line.startswith("error:")]
    records = read_metrics(tmp_path / "run")
    good = max(record["step"] for record in records if record["split"] == "validation")
    assert "no longer finite at step" in error
    assert f"checkpoint {good} in {tmp_path / 'run'} is kept" in error
    assert all(np.isfinite(record["loss"]) for record in records)
    trained = load(tmp_path / "run", best=False)
    assert trained.step == good
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(jax.device_get(trained.params)))


def test_signals_are_kept_and_a_second_interrupt_stops_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with catch_signals() as received:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert received == [signal.SIGTERM] * 2
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


class Batches:
    """The same batch for ever."""

    def __init__(self, batch):
        self.batch = batch

    def __next__(self):
        return self.batch

    def get_state(self):
        return {}

    def set_state(self, state):
        pass


def test_a_validation_loss_that_is_no_number_is_not_saved(make_engine, make_batches, tmp_path):
    batch = make_batches(1)[0]
    masks = iter([batch["mask"], batch["mask"] & False])
    with pytest.raises(DivergedError, match=r"validation loss .* at step 4: checkpoint 2 in .* is kept"):
        train(
            make_engine(steps=6, eval_every=2),
            workdir=tmp_path,
            batches=Batches(batch),
            evaluation=lambda: [{**batch, "mask": next(masks)}],
            describe=lambda sums: {},
        )
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["2"]
    assert [record["step"] for record in read_metrics(tmp_path)] == [2]


@pytest.mark.thorough
def test_it_ends_early_where_the_validation_loss_stays(make_engine, make_batches, tmp_path, capsys):
    batch = make_batches(1)[0]

    def go_on(**config):
        engine = make_engine(steps=9, eval_every=2, log_every=4, learning_rate=0.0, **config)
        return train(engine, workdir=tmp_path, batches=Batches(batch), evaluation=lambda: [batch])

    ended = go_on(patience=2)
    assert ended.steps == 6  # the first loss, and two that are no lower
    assert [r["step"] for r in read_metrics(tmp_path) if r["split"] == "train"] == [4, 6]
    assert ended.train_loss == pytest.approx(ended.eval_loss)
    assert "step 6: no lower validation loss for 2 validations, ended early" in capsys.readouterr().err
    assert go_on(patience=2).steps == 6
    assert "ended early at step 6 already" in capsys.readouterr().err
    assert go_on(patience=3).steps == 8
    assert go_on().steps == 9


@pytest.mark.parametrize(("save_every", "saved"), [("3", ["3", "6", "7"]), ("60min", ["7"])])
def test_saving_between_validations_changes_nothing(make_engine, make_batches, tmp_path, save_every, saved):
    batch = make_batches(1)[0]
    validated = {"steps": 7, "eval_every": 7}

    def run(folder, **config):
        engine = make_engine(**validated, **config)
        result = train(engine, workdir=tmp_path / folder, batches=Batches(batch), evaluation=lambda: [batch])
        return jax.device_get(result.params), sorted(os.listdir(tmp_path / folder / "checkpoints"))

    plain, _ = run("plain")
    params, steps = run("often", save_every=save_every, keep=3)
    assert steps == saved
    assert_identical(params, plain)


@pytest.mark.parametrize("wrong", ["0", "10 s", "-5", "min"])
def test_how_often_to_save_is_steps_or_minutes(wrong):
    with pytest.raises(InputError, match="save_every is a number of steps or minutes, as 200 or 10min, not"):
        TrainConfig(save_every=wrong)


@pytest.mark.parametrize("name", ["steps", "batch_size", "eval_every", "log_every", "grad_accumulation"])
def test_counts_below_one_are_named(make_engine, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, not 0"):
        make_engine(**{name: 0})
