"""A run of several processes is the run of one, and survives what happens to them."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import cli, language_model
from nlpx.processes import _free_port
from nlpx.train import load
from nlpx.train.workdir import read_metrics
from tests import faults

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
FLAGS = ["--layers=1", "--width=16", "--seq-len=8", "--batch-size=8", "--steps=8", "--eval-every=4", "--log-every=1"]
FLAGS += ["--schedule=constant", "--tokenizer=char", "--optimizer=sgd", "--learning-rate=0.3"]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text("the cat sat on the mat. a dog ran. " * 100)
    return path


def found(workdir):
    """The losses, the parameters at the end, and the summary."""
    losses = [(each["step"], each["split"], each["loss"]) for each in read_metrics(workdir)]
    params = jax.device_get(load(workdir, best=False).params)
    return losses, params, json.loads((workdir / "summary.json").read_text())


@pytest.fixture
def trained(text, tmp_path, monkeypatch):
    """Trains in so many processes, and returns the losses and parameters at the end; or else what was said."""

    def run(count, mesh, *more, name="run", of_each=(), slurm=None):
        workdir, port = tmp_path / name, _free_port()
        command = [sys.executable, "-m", "experiments.language_model", *FLAGS, f"--data=file:{text}", f"--mesh={mesh}"]
        command += [f"--workdir={workdir}", *more]
        if count == 1:  # here, which is sooner than in a process of its own
            monkeypatch.setattr(sys, "argv", command[2:])
            cli.run(language_model.main, language_model.Config, None)
            return found(workdir)
        environment = {name: value for name, value in os.environ.items() if name != "NPROC"}
        started = []
        for index in range(count):
            flags = [f"--coordinator=localhost:{port}", f"--num-processes={count}", f"--process-id={index}"]
            flags = (flags if count > 1 and not slurm else []) + (list(of_each[index]) if of_each else [])
            if slurm:
                environment |= {**slurm, "SLURM_PROCID": str(index), "SLURM_LOCALID": str(index)}
            started.append(
                subprocess.Popen([*command, *flags], cwd=ROOT, env=environment, text=True, stdout=-1, stderr=-1)
            )
        said = [each.communicate(timeout=300) for each in started]
        codes = {each.returncode for each in started}
        if codes != {0}:
            return codes, [errors.splitlines()[-1] for _, errors in said]
        assert all(output == "" for output, _ in said[1:])  # process 0 reports
        return found(workdir)

    return run


def assert_close(one, other):
    (losses, params, summary), (expected, expected_params, expected_summary) = one, other
    assert [each[:2] for each in losses] == [each[:2] for each in expected]
    np.testing.assert_allclose([each[2] for each in losses], [each[2] for each in expected], rtol=1e-4)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-4), params, expected_params)
    assert summary["metrics"] == pytest.approx(expected_summary["metrics"], rel=1e-4)


def test_a_run_goes_on_with_another_number_of_processes_and_another_mesh(trained):
    alone = trained(1, "data=2", "--arch=lstm", name="alone")
    trained(2, "fsdp=2", "--arch=lstm", "--steps=4")
    together = trained(1, "data=2", "--arch=lstm")
    assert_close(together, alone)
    assert together[-1]["starts"] == 2


ON_EIGHT = [("lstm", "data=8")]
ON_EIGHT += [("transformer", mesh) for mesh in ("data=2,fsdp=4", "data=2,fsdp=2,model=2", "data=2,sequence=4")]


@pytest.mark.slow
@pytest.mark.parametrize(("arch", "mesh"), ON_EIGHT)
def test_processes_train_as_one_does(trained, arch, mesh):
    flags = (f"--arch={arch}", *(["--heads=4"] if arch == "transformer" else []))
    alone = trained(1, mesh, *flags, name="alone")
    for count in (2, 4):
        assert_close(trained(count, mesh, *flags, name=f"together-{count}"), alone)


@pytest.mark.slow
def test_slurm_needs_no_addresses(trained):
    flags = ("data=2", "--arch=lstm")
    job = {
        "SLURM_JOB_ID": "23456",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_STEP_NUM_TASKS": "2",
    }
    assert_close(trained(2, *flags, "--coordinator=auto", slurm=job), trained(1, *flags, name="alone"))


@pytest.mark.slow
def test_processes_with_other_flags_end_and_name_them(trained):
    codes, said = trained(2, "data=2", "--arch=lstm", of_each=[(), ("--seed=3",)])
    assert codes == {2}
    assert all("train.seed is 0 in process 0, 3 in process 1" in line for line in said)


@pytest.mark.slow
def test_devices_that_processes_do_not_share_evenly_are_refused(trained):
    codes, said = trained(2, "data=3", "--arch=lstm", "--batch-size=9")
    assert codes == {2}
    assert all("mesh data=3 has 3 devices, which 2 processes do not share evenly" in line for line in said)


def test_faults_leave_no_trace(tmp_path):
    table = faults.disturb(tmp_path, ["SIGSTOP, SIGCONT", "SIGKILL"], seed=0, steps=100)
    assert [len(rounds) for rounds in table.values()] == [1, 1]


@pytest.mark.slow
def test_a_signal_before_the_first_step_of_a_resumed_run_loses_nothing(text, tmp_path):
    training = faults.Training(tmp_path / "run", text, 4000)
    training.start()
    training.until(lambda: training.step >= 40)
    training.stop()
    before, starts = training.step, training.log.count("resuming at step")
    training.start()
    training.until(lambda: training.log.count("resuming at step") > starts)
    os.kill(training.members()[0], signal.SIGTERM)
    training.until(lambda: training.log.count("resuming at step") > starts + 1)
    training.until(lambda: training.step > before)
    training.stop()
    assert "stopped at step" in training.log.splitlines()[-1]
