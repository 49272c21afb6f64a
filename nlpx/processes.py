"""Several processes that train one model: how they find each other, agree, and end together.

Process 0 listens at the coordinator's address, and every other process holds a connection to it. When a process dies,
its operating system closes the connection; when its host does, it falls silent. Either way process 0 tells the others
which one is gone, and all leave: JAX alone would let them wait in a collective, and then abort without a name.
"""

import atexit
import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, NoReturn

from nlpx import process
from nlpx.errors import InputError

GONE = 75
"""The exit code of a process that ends because another one is gone: the same command goes on from the last checkpoint
(EX_TEMPFAIL of sysexits.h)."""

REACH_SECONDS = 30.0
"""How long a process tries to reach the coordinator."""

GATHER_SECONDS = 300.0
"""How long process 0 waits for the others: hosts of a cluster do not start together."""

SILENCE_SECONDS = float(os.environ.get("NLPX_HEARTBEAT_SECONDS", 30))
"""A process that says nothing for so long is taken for dead."""

Message = dict[str, Any]


class Line:
    """A connection that carries one JSON object a line."""

    def __init__(self, connection: socket.socket):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(SILENCE_SECONDS)
        self._connection, self._reader = connection, connection.makefile("r", encoding="utf-8")
        self._writing = threading.Lock()

    def patience(self, seconds: float) -> None:
        """Set how long `read` waits."""
        self._connection.settimeout(seconds)

    def send(self, **message: Any) -> None:
        """Send; a peer that is gone is noticed by the reader."""
        with self._writing, contextlib.suppress(OSError):
            self._connection.sendall(json.dumps(message).encode() + b"\n")

    def read(self) -> Message | None:
        """Return the next message, or None if the other side is gone or silent."""
        try:
            line = self._reader.readline()
            return json.loads(line) if line.endswith("\n") else None
        except (OSError, ValueError):
            return None


def differences(of: Mapping[int, Mapping[str, Any]]) -> list[str]:
    """Name what differs between processes: each setting with the first process whose value is not that of process 0."""
    found = []
    for name in sorted(set().union(*of.values())):
        values = {number: each.get(name) for number, each in sorted(of.items())}
        other = next((number for number, value in values.items() if value != values[0]), None)
        if other is not None:
            found.append(f"{name} is {values[0]!r} in process 0, {values[other]!r} in process {other}")
    return found


class Group:
    """The processes of a run, as one of them sees them: `index` of `count`."""

    def __init__(self, index: int, count: int):
        self.index, self.count = index, count
        self.lines: dict[int, Line] = {}
        """Process 0 holds one to each other process, the others one to process 0."""
        self._news = {number: queue.SimpleQueue() for number in range(count)}
        self._wishes: set[str] = set()
        self._orders: dict[str, int] = {}
        """What all do after which step."""
        self._heard = queue.SimpleQueue()
        self._closed = False

    def watch(self) -> None:
        """Begin to listen to the others, and to tell them that this process lives."""
        for number in self.lines:
            threading.Thread(target=self._listen, args=(number,), daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()
        atexit.register(self.close)  # before JAX registers its own, so after that has run

    def _beat(self) -> None:
        while not self._closed:
            self.tell(alive=True)
            time.sleep(SILENCE_SECONDS / 10)

    def _listen(self, number: int) -> None:
        while (message := self.lines[number].read()) is not None:
            if "agree" in message:
                self._news[number].put(message["agree"])
            elif "gone" in message:
                self.end(message["gone"], message["code"])
            elif "wish" in message:
                self._wishes.add(message["wish"])
            elif "order" in message:
                self._orders[message["order"]] = message["after"]
                self.tell(heard=True)
            elif "heard" in message:
                self._heard.put(number)
            elif "bye" in message:
                self._heard.put(number)  # it will not say so any more
                return
        if not self._closed:
            self.end(f"process {number} is gone: the same command goes on from the last checkpoint", GONE)

    def tell(self, **message: Any) -> None:
        """Send a message along all connections of this process."""
        for line in self.lines.values():
            line.send(**message)

    def end(self, why: str, code: int) -> NoReturn:
        """Tell the others why this process ends, and end it; they end too."""
        self.tell(gone=why, code=code)
        with contextlib.suppress(OSError):  # where the terminal or the disk takes no more, it still ends
            print(why, file=sys.stderr)
        process.leave(code)

    def agree(self, settings: Mapping[str, Any]) -> None:
        """Compare settings, as JSON values, among all processes.

        Raises:
          ValueError: they differ; names each difference.
        """
        settings = json.loads(json.dumps(dict(settings)))
        if self.index:
            self.tell(agree=settings)
            found = self._news[0].get()
        else:
            found = differences({0: settings, **{number: self._news[number].get() for number in self.lines}})
            self.tell(agree=found)
        if found:
            raise InputError(f"the processes of a run must have the same flags and data: {'; '.join(found)}")

    def begin(self) -> None:
        """Forget what was wished for in a training before this one."""
        self._wishes.clear()
        self._orders.clear()

    def due(self, wish: str, wanted: bool, step: int) -> bool:
        """Tell process 0 of a wish, and return whether all do it after this step, which is the same in all.

        Process 0 chooses the step after the next, and goes on only when the others have heard of it. None of them can
        have gone further: each step needs every process. So an ordinary step sends nothing. To be called at every step
        but the last, in a process that has the results of the step before.
        """
        if self.index == 0 and (wanted or wish in self._wishes) and wish not in self._orders:
            self._orders[wish] = step + 2
            self.tell(order=wish, after=step + 2)
            for _ in self.lines:
                self._heard.get()
        elif self.index and wanted and wish not in self._wishes:
            self._wishes.add(wish)
            self.tell(wish=wish)
        if self._orders.get(wish) != step:
            return False
        del self._orders[wish]
        self._wishes.discard(wish)
        return True

    def close(self) -> None:
        """Say that this process ends in order."""
        self._closed = True
        self.tell(bye=True)


_group: Group | None = None


def group() -> Group | None:
    """Return the processes of this run, or None if it has only this one."""
    return _group


def is_first() -> bool:
    """Whether this process writes files and reports."""
    return _group is None or _group.index == 0


def fail(why: str, code: int) -> None:
    """Take the other processes, if any, along when this one ends by an error."""
    if _group is not None:
        _group.end(f"{why} (process {_group.index})" if _group.index else why, code)


def close() -> None:
    """Say to the other processes, if any, that this one ends in order."""
    if _group is not None:
        _group.close()


def await_news() -> None:
    """After a collective failed: leave time to learn which process is gone, which ends this one."""
    if _group is not None:
        time.sleep(SILENCE_SECONDS)


def start(coordinator: str | None, count: int | None, index: int | None) -> None:
    """Join the processes of a run, before JAX starts; a second call changes nothing.

    Args:
      coordinator: HOST:PORT of process 0; "auto" finds the processes where JAX can: under SLURM or Open MPI, on
        Kubernetes and TPU pods. None: this process is alone.
      count, index: how many processes there are, and the number of this one.

    Raises:
      ValueError: flags that do not fit together, a coordinator that cannot be reached, a number that is taken.
    """
    global _group
    if coordinator is None:
        if count is not None or index is not None:
            raise InputError("num_processes and process_id need the address of process 0: give coordinator too")
        return
    if _group is not None:
        return
    if coordinator == "auto":
        if count is not None or index is not None:
            raise InputError("coordinator auto finds the processes itself: leave num_processes and process_id out")
        _group = _found()
    else:
        host, port = _address(coordinator)
        if count is None or index is None:
            raise InputError("coordinator needs num_processes and process_id, or is auto")
        if not 0 <= index < count:
            raise InputError(f"process_id {index} is not one of {count} processes: they are 0 to {count - 1}")
        if count == 1:
            return
        joined = Group(index, count)
        service = _gather(joined, host, port) if index == 0 else _reach(joined, host, port)
        joined.watch()
        _initialize(coordinator_address=service, num_processes=count, process_id=index)
        _group = joined
    if _group is not None and _group.index:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # process 0 reports; this one may only complain


def _found() -> Group | None:
    """Let JAX find the processes of a cluster."""
    _initialize()
    from jax._src.distributed import global_state as found  # nothing public tells before the backend starts

    if found.num_processes == 1:
        return None
    joined = Group(found.process_id, found.num_processes)
    host, name = found.coordinator_address.rpartition(":")[0].strip("[]"), "nlpx/port"
    if joined.index == 0:
        port = _free_port()
        found.client.key_value_set(name, str(port))
        _gather(joined, host, port, service=found.coordinator_address)
    else:
        _reach(joined, host, int(found.client.blocking_key_value_get(name, int(1000 * GATHER_SECONDS))))
    joined.watch()
    return joined


def _address(coordinator: str) -> tuple[str, int]:
    host, _, port = coordinator.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise InputError(f"coordinator is auto, or HOST:PORT as localhost:9123, not {coordinator!r}")
    return host.strip("[]"), int(port)


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        return server.getsockname()[1]


def _gather(group: Group, host: str, port: int, service: str | None = None) -> str:
    """Wait, as process 0, until all others have connected; return where JAX's own service will listen."""
    try:
        server = socket.create_server(("", port))
    except OSError as error:
        raise InputError(
            f"process 0 cannot listen at port {port} ({os.strerror(error.errno)}): is there another process 0? Else "
            f"choose another port for coordinator"
        ) from None
    service, until = service or f"{host}:{_free_port()}", time.monotonic() + GATHER_SECONDS
    with server:
        while len(group.lines) < group.count - 1:
            server.settimeout(max(0.01, until - time.monotonic()))
            try:
                line = Line(server.accept()[0])
            except TimeoutError:
                missing = sorted(set(range(1, group.count)) - set(group.lines))
                why = f"process {', '.join(map(str, missing))} did not come within {GATHER_SECONDS:.0f} s: start it"
                group.tell(refused=why)
                raise InputError(why) from None
            hello = line.read() or {}
            if (refused := _refusal(group, hello)) is not None:
                line.send(refused=refused)
            elif hello:
                group.lines[hello["process_id"]] = line
    group.tell(service=service)
    return service


def _refusal(group: Group, hello: Message) -> str | None:
    if not hello:
        return None
    if hello["num_processes"] != group.count:
        return f"num_processes is {group.count} in process 0, and {hello['num_processes']} here: give both the same"
    if hello["process_id"] in (0, *group.lines):
        return f"process_id {hello['process_id']} is taken by another process: number them 0 to {group.count - 1}"
    return None


def _reach(group: Group, host: str, port: int) -> str:
    """Connect to process 0; return where JAX's own service listens, once all are there."""
    until = time.monotonic() + REACH_SECONDS
    while True:
        try:
            line = Line(socket.create_connection((host, port), timeout=5))
            line.send(process_id=group.index, num_processes=group.count)
            break
        except OSError as error:
            if time.monotonic() > until:
                raise InputError(
                    f"no process 0 at {host}:{port} within {REACH_SECONDS:.0f} s ({error.strerror or error}): start it "
                    f"with the same coordinator, and see that the port is open"
                ) from None
            time.sleep(0.2)
    line.patience(GATHER_SECONDS + REACH_SECONDS)
    answer = line.read() or {"refused": f"process 0 at {host}:{port} ended before all were there"}
    if "refused" in answer:
        raise InputError(answer["refused"])
    line.patience(SILENCE_SECONDS)
    group.lines[0] = line
    return answer["service"]


def _initialize(**settings: Any) -> None:
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # see `Group.due`
    try:
        # Its heartbeat is the second guard, of processes that are stopped as a whole.
        jax.distributed.initialize(**settings, heartbeat_timeout_seconds=max(10, int(2 * SILENCE_SECONDS)))
    except (RuntimeError, ValueError) as error:  # JAX knows many clusters, and many reasons
        first = str(error).partition("\n")[0][:200]
        raise InputError(
            f"JAX cannot connect the processes ({first}): give coordinator, num_processes, process_id"
        ) from None
