import itertools
import weakref
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from laws import assert_close

from benchmarks import contenders, timing


class Clock:
    """A machine on which time passes only in calls and pauses. `calls` says who was called."""

    def __init__(self, monkeypatch):
        self.now, self.calls = 0.0, []
        monkeypatch.setattr(timing, "time", SimpleNamespace(sleep=self.sleep, perf_counter=lambda: self.now))

    def sleep(self, seconds):
        self.now += seconds

    def call(self, name, *seconds):
        """A call that takes each of `seconds` in turn, the last one from then on."""
        rest = itertools.chain(seconds, itertools.repeat(seconds[-1]))

        def run():
            self.calls.append(name)
            self.now += next(rest)

        return run


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def two(clock):
    return {"short": clock.call("short", 1.0), "long": clock.call("long", 3.0)}


def test_contenders_take_turns_and_short_ones_call_again(clock):
    calls = {"short": clock.call("short", 0.02), "long": clock.call("long", 3.0)}
    timings = timing.interleave(calls, 4, turn=0.05)
    assert clock.calls == ["short", "long"] + 4 * [*4 * ["short"], *2 * ["long"]]
    for name, seconds in (("short", 0.02), ("long", 3.0)):
        np.testing.assert_allclose(timings[name], 4 * [seconds])


def test_the_call_that_shows_how_long_it_takes_and_the_first_of_each_turn_do_not_count(clock):
    call = clock.call("a", 100.0, *(seconds for counted in (4.0, 1.0, 9.0) for seconds in (50.0, counted)))
    np.testing.assert_allclose(timing.interleave({"a": call}, 3, turn=0)["a"], (4.0, 1.0, 9.0))


def test_nothing_of_the_call_before_is_left_when_a_call_is_timed(monkeypatch):
    """A result that is still held, or memory freed a moment after it, would have a call take new memory."""

    class Result:
        pass

    held, left, seen = weakref.WeakSet(), [], []

    def call():
        left.append((len(held), seen[-1]))
        result = Result()
        held.add(result)
        seen.append("call")
        return result

    monkeypatch.setattr(timing.time, "sleep", lambda seconds: seen.append("pause"))
    timing.interleave({"a": call}, 3, turn=0)
    assert left == 7 * [(0, "pause")]


def test_how_long_a_call_takes_may_say_how_many_turns_it_has(clock, two):
    timings = timing.interleave(two, lambda seconds: 3 if seconds > 2 else 5, turn=0)
    assert clock.calls == ["short", "long"] + 3 * ["short", "short", "long", "long"] + 4 * ["short"]
    assert [len(timings[name]) for name in two] == [5, 3]


def test_turns_of_a_long_call_may_begin_without_an_uncounted_one(clock, two):
    timing.interleave(two, 2, turn=0, warm=2.0)
    assert clock.calls == ["short", "long"] + 2 * ["short", "short", "long"]


def test_what_takes_longer_than_the_limit_is_called_once(clock, two):
    timings = timing.interleave(two, 3, limit=2)
    assert timings["long"] == "over 2 s"
    np.testing.assert_allclose(timings["short"], (1, 1, 1))
    assert clock.calls == ["short", "long", *3 * ["short", "short"]]


def raising(error):
    def call():
        raise error

    return call


def test_what_runs_out_of_memory_says_so_and_stops_nobody_else(clock):
    left = [3]

    def greedy():
        left[0] -= 1
        if not left[0]:
            raise MemoryError

    timings = timing.interleave({"greedy": greedy, "a": clock.call("a", 1.0)}, 4, turn=0)
    assert (timings["greedy"], left) == ("out of memory", [0])
    np.testing.assert_allclose(timings["a"], (1, 1, 1, 1))


def test_the_out_of_memory_of_jax_is_known():
    assert timing.attempt(lambda: jnp.zeros(2**48)) == (None, "out of memory")
    assert timing.attempt(raising(timing.NotMeasured("slow"))) == (None, "slow")


@pytest.mark.parity
def test_the_out_of_memory_of_pytorch_is_known(torch):
    assert timing.attempt(lambda: torch.zeros(2**48)) == (None, "out of memory")


@pytest.mark.parametrize("error", [RuntimeError("shapes do not fit"), ValueError("out of memory")])
def test_other_errors_are_raised(error):
    with pytest.raises(type(error), match=str(error)):
        timing.interleave({"a": raising(error)}, 2)


@pytest.mark.parametrize(
    ("actual", "wrong"),
    [
        ({"y": [1.0, 200.02]}, None),
        ({"y": [1.03, 200.0]}, "y differs by 1.5e-04"),
        ({"y": [1.0, np.nan]}, "y differs by nan"),
        ({"y": [1.0]}, "y differs by inf"),
        ({"y": [1.0, 200.0], "z": [0.0]}, "z differs by "),
        ({}, "y differs by "),
    ],
)
def test_contenders_that_differ_by_more_than_the_tolerance_end_it(actual, wrong, capsys):
    """As a part of the largest entry."""
    arguments = "a case", "one", {k: np.array(v) for k, v in actual.items()}, "other", {"y": np.array([1.0, 200.0])}
    if wrong is None:
        return contenders.check_same(*arguments, 1.01e-4)
    with pytest.raises(SystemExit) as stop:
        contenders.check_same(*arguments, 1.01e-4)
    assert stop.value.code == 1
    assert f"a case, one beside other: {wrong}" in capsys.readouterr().err


@pytest.mark.parametrize(("platform", "products"), [("cpu", 1), ("gpu", 32)])
def test_the_ceiling_of_an_accelerator_is_of_many_products_in_a_row(monkeypatch, platform, products):
    results = {}

    def interleave(calls, rounds):
        results.update({name: call() for name, call in calls.items()})
        return dict.fromkeys(calls, (0.5, 0.5))

    monkeypatch.setattr(timing, "CEILING", 64)
    monkeypatch.setattr(timing, "interleave", interleave)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert timing.measure_ceiling() == {"jax": float(f"{products * 2 * 64**3 / 0.5 / 1e9:.4g}")}
    a, b = np.random.default_rng(0).normal(size=(2, 64, 64)).astype(np.float32).astype(np.float64)
    assert_close(results["jax"], a @ np.linalg.matrix_power(b / 8, products))
