import itertools
import json
import os
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from benchmarks import timing


class Clock:
    """A machine on which time passes only in calls and pauses. `calls` says who was called."""

    def __init__(self):
        self.now, self.calls = 0.0, []

    def call(self, name, *seconds):
        """A call that takes each of `seconds` in turn, the last one from then on."""
        rest = itertools.chain(seconds, itertools.repeat(seconds[-1]))

        def run():
            self.calls.append(name)
            self.now += next(rest)

        return run

    def interleave(self, calls, rounds, **options):
        def sleep(seconds):
            self.now += seconds

        return timing.interleave(calls, rounds, clock=lambda: self.now, sleep=sleep, **options)


def turns(*seconds):
    """What the calls of `interleave` take if its turns take `seconds`: one to see, and one before each turn."""
    return 100.0, *(s for counted in seconds for s in (50.0, counted))


def test_contenders_take_turns_and_short_ones_call_again():
    clock = Clock()
    calls = {"short": clock.call("short", 0.02), "long": clock.call("long", 3.0)}
    timings = clock.interleave(calls, 4, turn=0.05, pause=7.0)
    assert clock.calls == ["short", "long"] + 4 * [*4 * ["short"], *2 * ["long"]]
    for name, seconds in (("short", 0.02), ("long", 3.0)):
        np.testing.assert_allclose(timings[name].seconds, 4 * [seconds])


def test_median_and_quartiles_leave_the_warm_up_out():
    clock, seconds = Clock(), [4.0, 1.0, 9.0, 2.0, 7.0, 3.0]
    timed = clock.interleave({"a": clock.call("a", *turns(*seconds))}, len(seconds), turn=0)["a"]
    assert timed.failure is None
    np.testing.assert_allclose(
        (timed.quartiles[0], timed.median, timed.quartiles[1]), np.quantile(seconds, [0.25, 0.5, 0.75])
    )


def test_precision_is_half_the_notch_of_the_median():
    # Quartiles 1 and 2 around 1.5: 1.57 x 1 / sqrt(4) / 1.5 is 52 %.
    rough = timing.Timing((1.0, 2.0, 1.0, 2.0))
    assert rough.precision == pytest.approx(1.57 / 2 / 1.5)
    assert timing.Timing(4 * (1.5,)).precision == 0


def test_nothing_of_the_call_before_is_left_when_a_call_is_timed():
    """A result that is still held, or memory freed a moment after it, would have a call take new memory."""

    class Result:
        pass

    held = weakref.WeakSet()
    left, seen = [], []

    def call():
        left.append((len(held), seen[-1] if seen else None))
        result = Result()
        held.add(result)
        seen.append("call")
        return result

    timing.interleave({"a": call}, 3, turn=0, sleep=lambda seconds: seen.append(f"pause of {seconds}"), pause=0.25)
    assert left == [(0, "pause of 0.25")] * 7


def test_how_long_a_call_takes_may_say_how_many_turns_it_has():
    clock = Clock()
    calls = {"short": clock.call("short", 1.0), "long": clock.call("long", 3.0)}
    timings = clock.interleave(calls, lambda seconds: 3 if seconds > 2 else 5, turn=0)
    assert clock.calls == ["short", "long"] + 3 * ["short", "short", "long", "long"] + 4 * ["short"]
    assert [len(timings[name].seconds) for name in calls] == [5, 3]


def test_turns_of_a_long_call_may_begin_without_an_uncounted_one():
    clock = Clock()
    calls = {"short": clock.call("short", 1.0), "long": clock.call("long", 3.0)}
    clock.interleave(calls, 2, turn=0, warm=2.0)
    assert clock.calls == ["short", "long"] + 2 * ["short", "short", "long"]


def test_what_is_known_to_be_long_is_not_called_to_see():
    clock = Clock()
    calls = {"short": clock.call("short", 1.0), "long": clock.call("long", 3.0), "slow": clock.call("slow", 9.0)}
    timings = clock.interleave(calls, 2, turn=0, limit=5, known={"long": 3.0, "slow": 9.0})
    assert clock.calls == ["short", *2 * ["short", "short", "long", "long"]]
    assert timings["slow"].failure == "over 5 s"


def test_accelerators_multiply_float32_in_less_unless_told(monkeypatch):
    assert timing.products_of("float32") == "float32"
    for platform, products in (("gpu", "tf32"), ("tpu", "bfloat16")):
        monkeypatch.setattr(jax, "default_backend", lambda platform=platform: platform)
        assert timing.products_of("float32") == products
        assert timing.products_of("bfloat16") == "bfloat16"
        with jax.default_matmul_precision("highest"):
            assert timing.products_of("float32") == "float32"


def test_what_takes_longer_than_the_limit_is_called_once():
    clock = Clock()
    timings = clock.interleave({"slow": clock.call("slow", 2.5), "a": clock.call("a", 1.0)}, 3, limit=2)
    assert timings["slow"] == timing.Timing(failure="over 2 s")
    assert timings["a"].seconds == (1, 1, 1)
    assert clock.calls == ["slow", "a", *3 * ["a", "a"]]


def raising(error):
    def call():
        raise error

    return call


def test_what_runs_out_of_memory_says_so_and_stops_nobody_else():
    clock, left = Clock(), [3]

    def greedy():
        left[0] -= 1
        if not left[0]:
            raise MemoryError

    timings = clock.interleave({"greedy": greedy, "a": clock.call("a", 1.0)}, 4, turn=0)
    assert timings["greedy"] == timing.Timing(failure="out of memory")
    assert left == [0]
    assert timings["a"].seconds == (1, 1, 1, 1)


def test_the_out_of_memory_of_jax_is_known():
    assert timing.attempt(lambda: jnp.zeros(2**48)) == (None, "out of memory")


@pytest.mark.parity
def test_the_out_of_memory_of_pytorch_is_known(torch):
    assert timing.attempt(lambda: torch.zeros(2**48)) == (None, "out of memory")


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("out of memory")])
def test_other_errors_are_raised(error):
    with pytest.raises(type(error), match=str(error)):
        timing.interleave({"a": raising(error)}, 2)


def test_speed_is_the_geometric_mean_of_the_cases_that_both_have():
    ours, theirs = {"a": 1.0, "b": 2.0, "c": 1.0, "only ours": 1.0}, {"c": 4.0, "b": 1.0, "a": 4.0, "only theirs": 1.0}
    speed = timing.speed_over(ours, theirs)
    assert speed.mean == pytest.approx(2.0)  # of 4, 1/2 and 4
    assert (speed.worst, speed.worst_case, speed.cases) == (0.5, "b", 3)
    assert timing.speed_over({"a": 1.0}, {"b": 1.0}) is None


def test_lines_are_appended(tmp_path):
    path = tmp_path / "figures.jsonl"
    timing.check_json(str(path))
    assert not path.exists()
    for record in ({"a": 1}, {"b": None}):
        timing.append_json(str(path), record)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"a": 1}, {"b": None}]
    timing.check_json(str(path))
    timing.append_json(None, {"a": 1})


@pytest.mark.parametrize("path", ["missing/figures.jsonl", "."])
def test_a_file_that_cannot_be_written_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"--json {path}"):
        timing.check_json(path)


def test_the_machine_is_described():
    machine = timing.machine()
    assert 1 <= machine["cores"] <= os.cpu_count()
    assert machine["device"].startswith("cpu: ")
    assert {"python", "jax", "flax"} <= machine["versions"].keys()


@pytest.mark.parametrize(("platform", "products"), [("cpu", 1), ("gpu", timing.PRODUCTS)])
def test_the_ceiling_of_an_accelerator_is_of_many_products_in_a_row(monkeypatch, platform, products):
    results = {}

    def interleave(calls, rounds):
        results.update({name: call() for name, call in calls.items()})
        return {name: timing.Timing((0.5, 0.5)) for name in calls}

    monkeypatch.setattr(timing, "CEILING", 64)
    monkeypatch.setattr(timing, "interleave", interleave)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert timing.measure_ceiling(2, ()) == {"jax": pytest.approx(products * 2 * 64**3 / 0.5 / 1e9)}
    a, b = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32).astype(np.float64)
    assert_close(results["jax"], a @ np.linalg.matrix_power(b / 8, products))
