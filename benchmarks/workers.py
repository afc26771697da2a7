"""Workers that take turns."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, TypeVar

from benchmarks.parts import Progress
from benchmarks.servers import Servers
from tests.support.http_servers import ROOT

T = TypeVar("T")


class WorkerFailed(RuntimeError):
    """A worker ended. Its traceback is on standard error."""


class Worker:
    """A child process of :mod:`benchmarks.worker`."""

    def __init__(self, name: str, servers: Servers, environment: Mapping[str, str]) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**environment, **servers.environment()},
            text=True,
            bufsize=1,
        )

    def ready(self) -> None:
        """Wait until it has started."""
        self._answer()

    def ask(self, method: str, **arguments: Any) -> Any:
        """Have it do something, and wait for the result.

        :raises WorkerFailed: it ended
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"method": method, **arguments}) + "\n")
        except BrokenPipeError:
            raise WorkerFailed(self.name) from None
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(f"{self.name} ended by itself; see above")
        return json.loads(line)["result"]

    def stop(self) -> None:
        """End it."""
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)


@contextmanager
def run_workers(
    names: Iterable[str], servers: Servers, environment: Mapping[str, str]
) -> Iterator[dict[str, Worker]]:
    """A worker for each name, started at once."""
    with ExitStack() as stack:
        workers = {}
        for name in names:
            workers[name] = Worker(name, servers, environment)
            stack.callback(workers[name].stop)
        for worker in workers.values():
            worker.ready()
        yield workers


def take_turns(
    rounds: int, turns: list[T], seed: int, take: Callable[[T], None], progress: Progress
) -> None:
    """Each turn once a round, each round in an order of its own."""
    chance = random.Random(seed)
    for number in range(rounds):
        order = list(turns)
        chance.shuffle(order)
        for done, turn in enumerate(order):
            progress((number + done / len(order)) / rounds, f"round {number + 1} of {rounds}")
            take(turn)
    progress(1.0, "")
