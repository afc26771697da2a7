"""``redis://``, ``redis+sentinel://``, ``redis+cluster://``...: sessions in Redis or Valkey.

Set-up: servers (tested: Redis 7.0, Valkey 9.1) that do not evict (``maxmemory-policy
noeviction``); ``sessionstore doctor`` looks at them.
Limits: what survives a crash or a failover is what persistence and ``durable=`` say.
Keys: ``<prefix>:s:<handle>``, strings with a TTL; one key per command.

===============  =============================================================================
commands.py      the four verbs as flows, and the Lua scripts
failures.py      from what went wrong to the typed error, and whether to try again
configuring.py   from a URL to the servers that it means
topology.py      which servers there are: those that the URL names, or what these say:
sentinel.py      ... Sentinel: the primary and its replicas
cluster.py       ... Cluster: who has which slot
routing.py       one command: which server, redirects, repetition, durability; for both transports
recent.py        what was written a moment ago, which replicas may not have
endpoint.py      where one server is, and how to log in
greetings.py     what a new connection asks first
link.py          one blocking connection
blocking.py      the sync transport: a pool of them for each server
channel.py       one asyncio connection
line.py          connecting one, and staying logged in
shared.py        the asyncio transport: one connection per event loop and server
examination.py   what a server tells of how it is set up, for ``sessionstore doctor``
store.py         ``RedisStore``
===============  =============================================================================
"""

from sessionstore.stores.redis.store import RedisStore, from_location

__all__ = ["RedisStore", "from_location"]
