"""``memcached://``, ``memcached+discover://`` and others: sessions in Memcached.

Set-up: servers of version 1.6 or later (tested: 1.6.18), with CAS (the default) and with more
memory than its sessions need; ``sessionstore doctor`` looks at it.
Limits: nothing is replicated or kept on disk, and a full server evicts: docs/memcached.md.
Keys: ``<prefix>:s:<handle>``, with a TTL in whole seconds; one item per session.

===============  =============================================================================
commands.py      the four verbs as flows over requests, which know neither protocol
messages.py      requests and replies, and which fits which
meta.py          the meta protocol (text), for memcached's own and managed services
binary.py        the binary protocol, for SASL
conversation.py  one connection's bytes: requests numbered, replies matched; TTL and size
login.py         what is said first on every connection, as a flow
failures.py      from an error reply to the typed error, and whether to try again
configuring.py   from a URL to the servers that it means
endpoint.py      where one server is, and how to log in
topology.py      which servers there are, and which of them has a key
ring.py          which of several servers a key is on, as libmemcached places it
membership.py    which servers are left out, where a lost one's share goes to the next
sightings.py     what one process has seen of the servers
places.py        which servers a session may be on
notes.py         what the application's processes tell each other about that
vigil.py         the threads that look at the servers for it
spread.py        the four verbs where a session may be on the next server
copies.py        the four verbs where each session is on two servers
items.py         what lies on each of the two: home, copy or tombstone
copying.py       keeping the copy as new as the home
takeover.py      making a home of a copy whose home is lost
discovery.py     servers that a configuration endpoint names (ElastiCache's Auto Discovery)
nodelist.py      what such an endpoint says
everywhere.py    deleting where servers come and go
routing.py       one command: which server, repetition; for both transports
blocking.py      the sync transport: a pool of links for each server
channel.py       one asyncio connection
line.py          connecting one
shared.py        the asyncio transport: one connection per event loop and server
examination.py   what a server tells of how it is set up, for ``sessionstore doctor``
store.py         ``MemcachedStore``
===============  =============================================================================
"""

from sessionstore.stores.memcached.store import MemcachedStore, from_location

__all__ = ["MemcachedStore", "from_location"]
