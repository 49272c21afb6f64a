import json
import math

import pytest

from nlpx.train import DivergedError
from nlpx.train.report import Report
from nlpx.train.workdir import read_metrics


def open_report(workdir, *, resume_step=0, state=None, steps=10):
    return Report(workdir, steps=steps, log_every=4, resume_step=resume_step, state=state)


def take(report, steps):
    """Step s has s tokens, a loss of 10 a token, and takes a second."""
    for step in steps:
        report.seconds(1.0, compiling=step == steps[0])
        report.step(step, {"loss": 10.0 * step, "count": float(step)}, grad_norm=0.5, learning_rate=0.1 * step)


def without_speed(workdir):
    return [{k: v for k, v in r.items() if k != "tokens_per_second"} for r in read_metrics(workdir)]


def test_a_line_every_interval_and_one_at_the_end(tmp_path):
    report = open_report(tmp_path)
    take(report, range(1, 11))
    report.close()
    records = read_metrics(tmp_path)
    assert [r["step"] for r in records] == [4, 8, 10]
    assert [r["tokens"] for r in records] == [10, 36, 55]
    assert [r["seconds"] for r in records] == [4, 8, 10]
    assert [r["loss"] for r in records] == [10, 10, 10]
    # The first step compiles, so neither its tokens nor its second counts.
    assert [r["tokens_per_second"] for r in records] == [9 / 3, 26 / 4, 19 / 2]
    assert {r["split"] for r in records} == {"train"}
    assert records[0] | {"grad_norm": 0.5, "learning_rate": 0.4} == records[0]
    assert report.train_loss == 10
    assert (report.state["steady_tokens"], report.state["steady_seconds"]) == (54, 9)


def test_a_line_without_a_measured_step_has_no_speed(tmp_path, capsys):
    """Resumed at step 7, step 8 stands alone in its line, and compiles."""
    report = open_report(tmp_path, resume_step=7)
    report.seconds(1e-6)  # not a step's: there are no tokens to measure it by
    take(report, [8])
    assert "step 8/10  loss 10.0000\n" in capsys.readouterr().err
    report.step(9, {"loss": 1.0, "count": 3.0}, grad_norm=1.0, learning_rate=1.0)
    report.seconds(1.5)
    report.step(10, {"loss": 1.0, "count": 3.0}, grad_norm=1.0, learning_rate=1.0)
    report.close()
    alone, both = read_metrics(tmp_path)
    assert "tokens_per_second" not in alone
    assert both["tokens_per_second"] == 4


def test_losses_are_weighed_by_their_tokens(tmp_path):
    report = open_report(tmp_path, steps=2)
    for step, (loss, count) in enumerate([(9.0, 9.0), (10.0, 1.0)], start=1):
        report.step(step, {"loss": loss, "count": count}, grad_norm=1.0, learning_rate=1.0)
    report.close()
    assert [r["loss"] for r in read_metrics(tmp_path)] == [1.9]


def test_other_sums_are_means_over_the_count_and_speed_counts_tokens(tmp_path):
    report = open_report(tmp_path, steps=2)
    for step, correct in ((1, 3.0), (2, 1.0)):
        sums = {"loss": 1.0, "count": 4.0, "correct": correct, "tokens": 100.0}
        report.seconds(1.0, compiling=step == 1)
        report.step(step, sums, grad_norm=1.0, learning_rate=1.0)
    report.close()
    (record,) = read_metrics(tmp_path)
    assert record.items() >= {"loss": 0.25, "correct": 0.5, "tokens": 200, "tokens_per_second": 100.0}.items()
    assert "count" not in record


def test_validation_is_a_line_of_its_own(tmp_path, capsys):
    report = open_report(tmp_path)
    take(report, range(1, 3))
    report.evaluation(2, 3.5, {"perplexity": 33.0})
    report.close()
    expected = {"step": 2, "split": "validation", "loss": 3.5, "perplexity": 33.0, "seconds": 2.0}
    assert read_metrics(tmp_path) == [expected]
    assert report.eval_loss == 3.5
    assert "step 2/10  validation loss 3.5000  perplexity 33.0000" in capsys.readouterr().err


def test_resumed_in_mid_interval_the_lines_are_those_of_an_undisturbed_run(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for workdir in (whole, parts):
        workdir.mkdir()
        report = open_report(workdir)
        take(report, range(1, 7))
        report.evaluation(6, 3.0, {})
        saved = json.loads(json.dumps(report.state))
        take(report, range(7, 11) if workdir == whole else range(7, 9))
        report.close()
    with (parts / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "spl')  # a kill in mid-line
    report = open_report(parts, resume_step=6, state=saved)
    assert [r["step"] for r in read_metrics(parts)] == [4, 6]
    assert (report.train_loss, report.eval_loss) == (10, 3)
    take(report, range(7, 11))
    report.close()
    assert without_speed(parts) == without_speed(whole)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(("name", "said"), [("loss", "the loss"), ("grad_norm", "the norm of the gradient")])
def test_what_is_not_finite_stops_the_run_and_writes_nothing(tmp_path, name, said, value):
    report = open_report(tmp_path, steps=1)
    values = {"loss": 1.0, "grad_norm": 1.0, name: value}
    with pytest.raises(DivergedError, match=f"{said} is no longer finite at step 1"):
        report.step(1, {"loss": values["loss"], "count": 1.0}, grad_norm=values["grad_norm"], learning_rate=1.0)
    report.close()
    assert read_metrics(tmp_path) == []
