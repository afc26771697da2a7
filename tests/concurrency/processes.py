"""Clients in processes of their own: ``python -m tests.concurrency.processes URL PREFIX ...``."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys
from pathlib import Path

from sessionstore import open_store
from tests.concurrency.clients import Board, Crowd, Requests, drive, manager_of
from tests.concurrency.history import History
from tests.support.every_store import PATIENCE, AnyStore

# A new secret would be known to its own process only, and part it from the others.
KINDS = {"write": 10, "append": 5, "logout": 1, "read": 3}
ROOT = Path(__file__).resolve().parents[2]


def by_processes(any_store: AnyStore, crowd: Crowd) -> History:
    """Each client is a process; all know the sessions that are there at first."""
    history, board = History(), crowd.board()
    with any_store.opened() as store:
        requests = Requests(board, history, random.Random(crowd.seed), KINDS)
        for slot in range(len(board.slots)):
            drive(requests.begin(slot), manager_of(store))
    tokens = [slot[-1] for slot in board.slots]
    command = [sys.executable, "-m", "tests.concurrency.processes", any_store.url]
    workers = [
        subprocess.Popen(
            [*command, any_store.prefix, f"{crowd.seed}", f"{number}", f"{crowd.count}", *tokens],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(1, crowd.clients + 1)
    ]
    _start_together(workers)
    for worker in workers:
        written, _ = worker.communicate(timeout=60)
        assert worker.returncode == 0
        history.read(written.splitlines())
    return history


def _start_together(workers: list[subprocess.Popen[str]]) -> None:
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()


def main() -> None:
    """One process of them."""
    url, prefix, seed, number, count, *tokens = sys.argv[1:]
    board = Board([[token] for token in tokens], itertools.count(int(number) * 1_000_000))
    history, draw = History(), random.Random(f"{seed}/{number}")
    store = open_store(url, prefix=prefix, timeout=PATIENCE)
    manager = manager_of(store)
    manager.open(tokens[0])
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    drive(Requests(board, history, draw, KINDS).client(int(count)), manager)
    store.close()
    sys.stdout.writelines(f"{line}\n" for line in history.lines())


if __name__ == "__main__":
    main()
