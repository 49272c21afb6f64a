"""How the processes of a run find each other, agree and end together; without JAX."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from nlpx import process, processes
from nlpx.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(processes, "SILENCE_SECONDS", 0.5)
    monkeypatch.setattr(processes, "REACH_SECONDS", 0.5)
    monkeypatch.setattr(processes, "GATHER_SECONDS", 2.0)


@pytest.fixture
def left(monkeypatch):
    """The exit codes with which processes of a group end; here each is a thread."""
    codes = []

    def leave(code):
        codes.append(code)
        raise SystemExit

    monkeypatch.setattr(process, "leave", leave)
    return codes


def join(count, index, port):
    group = processes.Group(index, count)
    (processes._gather if index == 0 else processes._reach)(group, "localhost", port)
    group.watch()
    return group


@pytest.fixture
def joined(left):
    """Makes a group whose processes are threads, and waits for them: one that ends late would end the tests."""
    groups, before = [], set(threading.enumerate())

    def make(count):
        port = processes._free_port()
        with ThreadPoolExecutor() as pool:
            groups.extend(pool.map(lambda index: join(count, index, port), range(count)))
        return list(groups)

    yield make
    for group in groups:
        group.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(2)


def wait_until(condition):
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_processes_with_the_same_settings_agree_and_stay(joined, left):
    groups = joined(3)
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda group: group.agree({"seed": 0, "sizes": (1, 2)}), groups))
    time.sleep(1.2)  # more than they may be silent
    assert left == []


def test_each_difference_is_named_in_every_process(joined):
    groups = joined(3)

    def refused(group):
        with pytest.raises(InputError) as error:
            group.agree({"seed": group.index, "data": "x" if group.index == 2 else "y", "steps": 3})
        return str(error.value)

    with ThreadPoolExecutor() as pool:
        said = set(pool.map(refused, groups))
    assert said == {
        "the processes of a run must have the same flags and data: "
        "data is 'y' in process 0, 'x' in process 2; seed is 0 in process 0, 1 in process 1"
    }


@pytest.mark.parametrize("index", [0, 1, 2])
def test_one_that_is_gone_is_named_and_the_others_end(joined, left, capsys, index):
    groups = joined(3)
    for line in groups[index].lines.values():  # as when its system closes the connections of a dead process
        line._connection.shutdown(2)
    said = []

    def named():  # the one cut off sees the others as gone, and may say so first
        said.append(capsys.readouterr().err)
        return f"process {index} is gone: the same command goes on from the last checkpoint" in "".join(said)

    wait_until(named)
    wait_until(lambda: left.count(processes.GONE) >= 2)


def test_one_that_is_silent_is_taken_for_dead(joined, left, capsys, monkeypatch):
    groups = joined(2)
    monkeypatch.setattr(groups[1], "tell", lambda **message: None)
    wait_until(lambda: processes.GONE in left)
    assert "process 1 is gone" in capsys.readouterr().err


def test_one_that_ends_by_an_error_tells_the_others(joined, left, capsys):
    groups = joined(3)
    with pytest.raises(SystemExit):
        groups[1].end("error: no such file", 2)
    wait_until(lambda: left.count(2) >= 3)
    assert capsys.readouterr().err.splitlines().count("error: no such file") >= 3


@pytest.mark.parametrize("asking", [0, 1, 2])
def test_what_one_wants_all_do_after_the_same_step(joined, asking):
    groups = joined(3)
    begun = [0, 0, 0]

    def run(group):
        for step in range(1, 1000):
            begun[group.index] = step
            wait_until(lambda: min(begun) >= step - 1)  # noqa: B023 - of the step before it has the results
            if group.due("stop", group.index == asking and step >= 5, step):
                return step

    with ThreadPoolExecutor() as pool:
        (step,) = set(pool.map(run, groups))
    assert 5 < step < 1000


def test_a_wish_comes_true_once_and_the_next_training_knows_nothing_of_it(joined):
    groups = joined(2)
    groups[0]._wishes.add("save")
    for group in groups:
        group.begin()
    with ThreadPoolExecutor() as pool:
        for step in range(1, 9):
            came = list(pool.map(lambda group: group.due("save", group.index == 0 and step == 3, step), groups))  # noqa: B023
            assert came == [step == 5] * 2


def test_one_that_ends_in_order_disturbs_nobody(joined, left):
    groups = joined(2)
    groups[1].close()
    time.sleep(1.2)
    assert left == []


def test_a_coordinator_that_is_not_there_is_named():
    port = processes._free_port()
    with pytest.raises(InputError, match=rf"no process 0 at localhost:{port} within 0 s .*: start it"):
        join(2, 1, port)


def test_numbers_that_are_taken_or_unlike_are_refused_and_the_group_still_forms():
    port = processes._free_port()
    with ThreadPoolExecutor() as pool:
        first = pool.submit(join, 3, 0, port)
        time.sleep(0.1)
        second = pool.submit(join, 3, 1, port)
        time.sleep(0.3)
        with pytest.raises(InputError, match="process_id 1 is taken by another process: number them 0 to 2"):
            join(3, 1, port)
        with pytest.raises(InputError, match="num_processes is 3 in process 0, and 4 here"):
            join(4, 2, port)
        with pytest.raises(InputError, match=f"cannot listen at port {port}"):
            join(3, 0, port)
        groups = [pool.submit(join, 3, 2, port).result(), first.result(), second.result()]
    for group in groups:
        group.close()


def test_one_that_does_not_come_is_named():
    port, said = processes._free_port(), []

    def second():
        with pytest.raises(InputError) as error:
            join(3, 1, port)
        said.append(str(error.value))

    thread = threading.Thread(target=second)
    thread.start()
    with pytest.raises(InputError, match="process 2 did not come within 2 s: start it"):
        join(3, 0, port)
    thread.join()
    assert said == ["process 2 did not come within 2 s: start it"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((None, 2, None), "give coordinator too"),
        (("localhost:1", None, 0), "coordinator needs num_processes and process_id"),
        (("localhost:1", 2, 2), "process_id 2 is not one of 2 processes: they are 0 to 1"),
        (("localhost", 2, 1), "HOST:PORT as localhost:9123, not 'localhost'"),
        (("auto", 2, None), "leave num_processes and process_id out"),
    ],
)
def test_flags_that_do_not_fit_together_are_refused(flags, said):
    with pytest.raises(InputError, match=said):
        processes.start(*flags)


def test_a_process_alone_needs_no_group():
    processes.start(None, None, None)
    processes.start("localhost:1", 1, 0)
    assert processes.group() is None
    assert processes.is_first()
