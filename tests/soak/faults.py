"""What befalls the network and the apps. What befalls a server is in ``stores``."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sessionstore.testing import FaultProxy
from sessionstore.testing.forwarding import Fault as Damage
from tests.soak.resources import members
from tests.support.children import StartError
from tests.support.figures import Window
from tests.support.http_servers import HttpServer
from tests.support.network import mend

PATIENCE: Final = 60.0
"""Seconds until an app must be whole again."""


@dataclass(frozen=True)
class Fault:
    """Something that can befall the soak.

    :param strike: does it, and blocks until it is over; gives when errors are excused, None: never
    :param site: the one whose silence is excused, and nothing else; None: a 503 of any site is
    :param restarts: whether it leaves none of a site's processes alive, whose memory could be
        looked at later
    """

    name: str
    strike: Callable[[random.Random], Window | None]
    site: str | None = None
    restarts: bool = False


@dataclass(frozen=True)
class Strike:
    """A fault that has been."""

    fault: Fault
    began: float
    ended: float
    window: Window | None


class Bag:
    """Faults in random order, each as often as any other."""

    def __init__(self, draw: random.Random, faults: list[Fault]) -> None:
        self._draw = draw
        self._faults = faults
        self._left: list[Fault] = []

    def take(self) -> Fault:
        """The next."""
        self._left = self._left or self._draw.sample(self._faults, len(self._faults))
        return self._left.pop()


# -- the network --


def of_the_network(proxy: FaultProxy) -> list[Fault]:
    """Between the sites and their server."""
    faults = [
        Fault(f"network: {text}", partial(_damage, proxy, damage))
        for text, damage in _DAMAGES.items()
    ]
    return [
        *faults,
        Fault("network: slow", partial(_slow, proxy)),
        Fault("network: byte by byte", partial(_slices, proxy)),
        Fault("network: every connection reset", partial(_cut, proxy)),
    ]


_DAMAGES: Final[dict[str, Damage]] = {
    "black hole": "black_hole",
    "connections reset": "reset",
    "replies lost": "lost",
    "replies cut in half": "half",
    "replies swallowed": "swallowed",
}


def _damage(proxy: FaultProxy, damage: Damage, draw: random.Random) -> Window:
    began = time.monotonic()
    proxy.fault = damage
    time.sleep(draw.uniform(0.5, 3))
    mend(proxy)
    return Window(began, time.monotonic())


def _slow(proxy: FaultProxy, draw: random.Random) -> None:
    """Within what an attempt may take: nobody must notice, so nothing is excused."""
    proxy.request_latency = proxy.reply_latency = draw.uniform(0.005, 0.02)
    time.sleep(draw.uniform(1, 4))
    proxy.request_latency = proxy.reply_latency = 0


def _slices(proxy: FaultProxy, draw: random.Random) -> None:
    """Nobody must notice this either. ``times`` ends it between two replies."""
    proxy.delay = 0.00005
    proxy.fault = "slices"
    time.sleep(draw.uniform(0.5, 2))
    proxy.fault = ""


def _cut(proxy: FaultProxy, draw: random.Random) -> Window:
    began = time.monotonic()
    proxy.cut()
    return Window(began, time.monotonic())


# -- the apps --


def of_a_site(name: str, server: HttpServer, workers: int) -> list[Fault]:
    """What an operator, or the kernel, does to an app."""
    rest = {
        "reloaded (SIGHUP)": _reload,
        "restarted (SIGTERM)": _restart,
        "killed with all its workers": _kill,
    }
    faults = [
        Fault(f"app: {text}", partial(how, server, workers), name, restarts=True)
        for text, how in rest.items()
    ]
    one = partial(_kill_worker, server, workers)
    return [*faults, Fault("app: one worker killed", one, name, restarts=workers == 1)]


def _kill_worker(server: HttpServer, workers: int, draw: random.Random) -> Window:
    """The youngest, so that the eldest shows what a long life does to it."""
    began = time.monotonic()
    old = _workers(server)[-1]
    os.kill(old, signal.SIGKILL)
    _wait(lambda: len(now := _workers(server)) == workers and old not in now, server)
    return Window(began, time.monotonic())


def _reload(server: HttpServer, workers: int, draw: random.Random) -> Window:
    began = time.monotonic()
    old = set(_workers(server))
    server.child.process.send_signal(signal.SIGHUP)
    _wait(lambda: len(now := _workers(server)) == workers and not old & set(now), server)
    return Window(began, time.monotonic())


def _restart(server: HttpServer, workers: int, draw: random.Random) -> Window:
    began = time.monotonic()
    server.child.stop()
    server.restart()
    _wait(lambda: len(_workers(server)) == workers, server)
    return Window(began, time.monotonic())


def _kill(server: HttpServer, workers: int, draw: random.Random) -> Window:
    began = time.monotonic()
    os.killpg(server.child.process.pid, signal.SIGKILL)
    server.child.process.wait(PATIENCE)
    server.restart()
    _wait(lambda: len(_workers(server)) == workers, server)
    return Window(began, time.monotonic())


def _workers(server: HttpServer) -> list[int]:
    """Its processes but the first, and but what multiprocessing has for itself; oldest first."""
    master = server.child.process.pid
    return [pid for pid in members(master) if pid != master and "_tracker" not in _command(pid)]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def _wait(ready: Callable[[], bool], server: HttpServer) -> None:
    deadline = time.monotonic() + PATIENCE
    while not ready():
        if time.monotonic() > deadline:
            raise StartError(f"{server.url} is not whole again:\n{server.child.output[-2000:]}")
        time.sleep(0.05)
