"""Of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable


async def either(running: asyncio.Task[None], other: Awaitable[object]) -> None:
    """Wait for the second; should the first end before, it has failed."""
    waiting = asyncio.ensure_future(other)
    await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        waiting.cancel()
        await running
    await waiting
