"""One soak, from starting the servers to the verdict."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psycopg
import redis

from tests.soak import flatness, sites
from tests.soak.faults import Bag, Fault, Strike, of_a_site
from tests.soak.inside import read_reports
from tests.soak.report import as_json
from tests.soak.resources import Watch
from tests.soak.rules import judge
from tests.soak.stores import STORES, Ground
from tests.soak.users import Load
from tests.soak.verdict import Limits, Outcome
from tests.soak.witness import Witness
from tests.support.children import scratch_directory
from tests.support.http_client import Site
from tests.support.http_servers import HttpServer
from tests.support.tasks import either

Tell = Callable[[str], None]

YOUNG: Final = 0.4
"""The part of a soak, from its beginning, in which whole apps are restarted. Later on some of each
app's processes stay, so that it shows what becomes of one that lives long."""
SETTLES: Final = 0.25
"""The part of a rest after which it counts: connections end, garbage is collected."""


@dataclass(frozen=True)
class Settings:
    """How to soak.

    :param seconds: of load and rests together
    :param rate: requests a second, over all sites, while all is well
    :param seed: of the faults and of what users do; when they do it is up to the machine
    :param gap: seconds between two faults, at least and at most
    :param sites: which
    """

    seconds: float = 600.0
    rate: float = 60.0
    seed: int = 0
    gap: tuple[float, float] = (1.0, 4.0)
    margin: float = 0.5
    sites: Sequence[str] = tuple(sites.KINDS)

    @property
    def rests(self) -> int:
        """How often everything is quiet for a while."""
        return int(min(max(5, self.seconds / 50), 12))

    @property
    def rest(self) -> float:
        """Seconds of each."""
        return min(6.0, self.seconds / self.rests / 4)

    @property
    def interval(self) -> float:
        """Seconds between two measurements of a process: some in each rest."""
        return self.rest / 6


@dataclass
class Soak:
    """One that runs."""

    settings: Settings
    ground: Ground
    servers: Mapping[str, HttpServer]
    load: Load
    tell: Tell
    strikes: list[Strike] = field(default_factory=list)
    rests: list[tuple[float, float]] = field(default_factory=list)
    connections: list[tuple[float, float]] = field(default_factory=list)

    async def run(self) -> None:
        """Spells of load and faults, each followed by a rest; the last spell is without faults."""
        settings = self.settings
        draw = random.Random(settings.seed)
        every = self._faults()
        lasting = [fault for fault in every if not fault.restarts]
        bags = {True: Bag(draw, every), False: Bag(draw, lasting)}
        running = asyncio.create_task(self.load.run())
        began = time.monotonic()
        try:
            for number in range(1, settings.rests + 1):
                until = began + settings.seconds * number / settings.rests - settings.rest
                young = number <= settings.rests * YOUNG
                bag = bags[young] if number < settings.rests else None
                await either(running, self._spell(until, draw, bag))
                await either(running, self._rest())
        finally:
            self.load.stop()
            await running
        await self.load.sweep()
        await self.load.rest()

    def _faults(self) -> list[Fault]:
        faults = list(self.ground.faults)
        for name, server in self.servers.items():
            faults += of_a_site(name, server, sites.KINDS[name].workers)
        return faults

    async def _spell(self, until: float, draw: random.Random, bag: Bag | None) -> None:
        while True:
            pause = draw.uniform(*self.settings.gap)
            left = until - time.monotonic()
            if bag is None or left < 2 * pause:
                await asyncio.sleep(max(left, 0))
                return
            await asyncio.sleep(pause)
            fault = bag.take()
            began = time.monotonic()
            self.tell(fault.name if fault.site is None else f"{fault.name} ({fault.site})")
            window = await asyncio.to_thread(fault.strike, draw)
            self.strikes.append(Strike(fault, began, time.monotonic(), window))

    async def _rest(self) -> None:
        await self.load.rest()
        began, whole = time.monotonic(), self.settings.rest
        await asyncio.sleep(whole * SETTLES)
        counted = time.monotonic()
        while time.monotonic() < began + whole:
            with suppress(redis.RedisError, psycopg.Error):
                count = await asyncio.to_thread(self.ground.connections)
                self.connections.append((time.monotonic(), count))
            await asyncio.sleep(whole / 8)
        self.rests.append((counted, time.monotonic()))
        self.load.resume()


def run(store: str, settings: Settings, tell: Tell, look: Callable[[Load], None]) -> dict[str, Any]:
    """Everything, down to the figures.

    :param tell: shows a line
    :param look: is given the load before it begins
    """
    with ExitStack() as stack:
        reports = stack.enter_context(scratch_directory())
        ground = stack.enter_context(STORES[store](tell))
        options = {"timeout": str(ground.timeout), **ground.options}
        serving = sites.running(settings.sites, ground.url, reports, settings.interval, **options)
        servers = stack.enter_context(serving)
        load = Load(
            [Site(name, server.url) for name, server in servers.items()],
            settings.rate,
            settings.seed,
        )
        look(load)
        soak = Soak(settings, ground, servers, load, tell)
        watch = stack.enter_context(Watch(_Sessions(servers), settings.interval))
        witness = stack.enter_context(Witness(ground.ask))
        began = time.monotonic()
        asyncio.run(soak.run())
        seconds = time.monotonic() - began
        tell("every session and old cookie was looked at once more; now the histories")
        outcome = Outcome(
            store,
            settings.seed,
            seconds,
            # Faults slow it down; half of the rate it must reach all the same.
            Limits(ground.timeout, settings.margin, settings.rate / 2),
            load.samples,
            soak.strikes,
            judge(load.recorder.history, load.recorder.owners),
            list(_series(soak, watch, reports)),
            witness.stalls,
            witness.lags,
        )
        return as_json(outcome, {name: server.child.output for name, server in servers.items()})


class _Sessions(Mapping[str, int]):
    """Name and session id of each site, which are others after a restart."""

    def __init__(self, servers: Mapping[str, HttpServer]) -> None:
        self._servers = servers

    def __getitem__(self, name: str) -> int:
        return self._servers[name].child.process.pid

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)


def _series(soak: Soak, watch: Watch, reports: Path) -> Iterator[flatness.Series]:
    sites = {each.pid: each.site for each in watch.measurements}
    said = [each for each in read_reports(reports) if each[0] in sites]
    requests: dict[int, int] = {}
    for pid, _, _, count in said:
        requests[pid] = max(count, requests.get(pid, 0))
    points = {
        "rss": [(each.pid, each.at, float(each.rss)) for each in watch.measurements],
        "descriptors": [
            (each.pid, each.at, float(each.descriptors)) for each in watch.measurements
        ],
        "threads": [(each.pid, each.at, float(each.threads)) for each in watch.measurements],
        "blocks": [(pid, at, float(blocks)) for pid, at, blocks, _ in said],
    }
    for name, bound in flatness.BOUNDS.items():
        for pid, values in flatness.by_process(points[name]).items():
            site = sites[pid]
            served = flatness.Served(requests.get(pid, 0), soak.load.peaks[site])
            made = flatness.series(site, pid, name, values, soak.rests, bound, served)
            if made is not None:
                yield made
    everyone = flatness.Served(at_once=soak.load.peaks.total())
    store = flatness.series(
        "store", 0, "connections", soak.connections, soak.rests, flatness.CONNECTIONS, everyone
    )
    if store is not None:
        yield store
