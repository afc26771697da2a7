"""One scenario: its servers, both sites, the load, the fault, and a look at everything after."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from tests.drill.load import Load
from tests.drill.report import Result
from tests.drill.scenario import PREFIX, Scenario, Story
from tests.support.http_client import Site
from tests.support.http_servers import (
    HttpServer,
    serve_asgi,
    serve_wsgi,
    site_environment,
)
from tests.support.tasks import either

SECRET: Final = "the drill's secret key, of more than 32 bytes"
WARM_SECONDS: Final = 4.0
"""Until the fault: long enough that most users have logged in."""
AFTER_SECONDS: Final = 3.0
"""Of load after everything is as it should be."""


@dataclass(frozen=True)
class Settings:
    """How to drill.

    :param rate: requests a second, over both sites
    :param seconds: of load for each scenario at least; more where the fault takes longer
    :param timeout: the store's, in seconds
    :param margin: seconds that a busy machine may add to a deadline
    """

    rate: float = 240.0
    seconds: float = 12.0
    timeout: float = 0.5
    margin: float = 0.5


def run(scenario: Scenario, settings: Settings, tell: Callable[[str], None]) -> Result:
    """Everything from starting the servers to the figures."""
    began = time.monotonic()

    def timed(text: str) -> None:
        tell(f"{time.monotonic() - began:5.1f} s  {text}")

    with ExitStack() as stack:
        servers = stack.enter_context(scenario.servers())
        timeout = str(settings.timeout)
        env = site_environment(
            servers.url, SECRET, prefix=PREFIX, timeout=timeout, **scenario.options
        )
        # Threads enough for each request to wait for its deadline, as an async site has by itself.
        threads = int(settings.rate * 2 * settings.timeout)
        keep = "75"  # seconds: connections must not be closed under a request's feet
        served: dict[str, HttpServer] = {
            "ASGI": stack.enter_context(
                serve_asgi(
                    "tests.drill.asgi_app:app", env=env, options=["--timeout-keep-alive", keep]
                )
            ),
            "WSGI": stack.enter_context(
                serve_wsgi(
                    "tests.drill.wsgi_app:app",
                    env=env,
                    threads=threads,
                    options=["--keep-alive", keep],
                )
            ),
        }
        timed("servers and sites run")
        story = Story(timed)
        sites = [Site(name, server.url) for name, server in served.items()]
        load = Load(sites, settings.rate)
        took = asyncio.run(
            _drive(load, sites, lambda: scenario.fault(servers, story), settings, timed)
        )
        return Result(
            scenario,
            settings,
            load.samples,
            load.tally,
            story,
            took,
            load.lag,
            {name: server.child.output for name, server in served.items()},
        )


async def _drive(
    load: Load,
    sites: list[Site],
    fault: Callable[[], None],
    settings: Settings,
    tell: Callable[[str], None],
) -> float:
    """Gives how many requests a second there were."""
    began = time.monotonic()
    running = asyncio.create_task(load.run())
    progress = asyncio.create_task(_progress(load, tell))
    try:
        await either(running, asyncio.sleep(WARM_SECONDS))
        await either(running, asyncio.to_thread(fault))
        so_far = time.monotonic() - began
        await either(running, asyncio.sleep(max(AFTER_SECONDS, settings.seconds - so_far)))
    finally:
        load.stop()
        await running
        progress.cancel()
        rate = len(load.samples) / (time.monotonic() - began)
    await load.sweep()
    tell("every session and every old cookie was looked at once more")
    for site in sites:
        await site.close()
    return rate


async def _progress(load: Load, tell: Callable[[str], None]) -> None:
    before = 0
    while True:
        await asyncio.sleep(2)
        new, before = load.samples[before:], len(load.samples)
        errors = sum(sample.failed for sample in new)
        tell(f"{len(new) / 2:.0f} answers/s, {errors} errors, {load.tally.lost} lost so far")
