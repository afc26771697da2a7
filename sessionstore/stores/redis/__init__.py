"""``redis://``, ``rediss://``, ``redis+unix://``: sessions in Redis or Valkey.

Set-up: a server (tested: Redis 7.0, Valkey 9.1) that does not evict (``maxmemory-policy
noeviction``); ``sessionstore doctor`` looks at it.
Limits: one server; what survives a crash is what its persistence settings say.
Keys: ``<prefix>:s:<handle>``, strings with a TTL; one key per command.

===============  =============================================================================
commands.py      the four verbs as flows, and the Lua scripts
failures.py      from what went wrong to the typed error, and whether to try again
endpoint.py      where the server is, and how to log in
dialing.py       opening a blocking socket by a deadline
blocking.py      the sync transport: a pool of connections
channel.py       one asyncio connection: replies matched to commands by their order
shared.py        the asyncio transport: one connection per event loop, shared by all tasks
examination.py   what a server tells of how it is set up, for ``sessionstore doctor``
store.py         ``RedisStore``
===============  =============================================================================
"""

from sessionstore.stores.redis.store import RedisStore, from_location

__all__ = ["RedisStore", "from_location"]
