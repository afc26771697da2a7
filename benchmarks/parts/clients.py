"""The stores as clients, beside client libraries and a plain socket."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from benchmarks.clients import CLIENTS, CONCURRENCY, OPERATIONS
from benchmarks.parts import Context
from benchmarks.statistics import quantile
from benchmarks.workers import run_workers, take_turns


def run(context: Context) -> dict[str, Any]:
    """``{client: {"get 50": {"wall": [...], "p99": [...], "cpu": [...], "rate": [...]}}}``.

    A figure for each round: the median and the 99th percentile of its operations' times, CPU time
    for each operation, operations a second.
    """
    rounds, count = (6, 240) if context.quick else (40, 1000)
    found: dict[str, Any] = {name: defaultdict(lambda: defaultdict(list)) for name in CLIENTS}
    with run_workers(CLIENTS, context.servers, context.environment) as workers:
        for worker in workers.values():
            worker.ask("fill")

        def take(turn: tuple[str, str, int]) -> None:
            name, operation, concurrency = turn
            batch = workers[name].ask(
                "batch", operation=operation, concurrency=concurrency, count=count // concurrency
            )
            into = found[name][f"{operation} {concurrency}"]
            into["wall"].append(quantile(batch["wall"], 0.5))
            into["p99"].append(quantile(batch["wall"], 0.99))
            into["cpu"].append(batch["cpu"])
            into["rate"].append(batch["rate"])

        turns = [
            (name, operation, concurrency)
            for name in CLIENTS
            for operation in OPERATIONS
            for concurrency in CONCURRENCY
        ]
        take_turns(rounds, turns, context.seed, take, context.progress)
    return {"clients": found, "rounds": rounds, "batch": count}
