"""``redis://``, ``rediss://``, ``redis+unix://``: sessions in Redis or Valkey.

Set-up: a server of version 6.2 or later that does not evict (``maxmemory-policy noeviction``).
Limits: one server; what survives a crash is what its persistence settings say.
Keys: ``<prefix>:s:<handle>``, strings with a TTL; one key per command.

=============  =============================================================================
commands.py    the four verbs as flows, and the Lua scripts
failures.py    from what went wrong to the typed error, and whether to try again
endpoint.py    where the server is, and how to log in
blocking.py    the sync transport: a pool of connections
shared.py      the asyncio transport: one connection per event loop, shared by all tasks
store.py       ``RedisStore``
=============  =============================================================================
"""

from sessionstore.stores.redis.store import RedisStore, from_location

__all__ = ["RedisStore", "from_location"]
