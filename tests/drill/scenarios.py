"""Every scenario."""

from __future__ import annotations

from typing import Final

from tests.drill.memcached_scenarios import MEMCACHED
from tests.drill.redis_scenarios import CONTROL, REDIS

SCENARIOS: Final = (*REDIS, *MEMCACHED)

__all__ = ["CONTROL", "SCENARIOS"]
