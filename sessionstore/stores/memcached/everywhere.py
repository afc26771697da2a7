"""Deleting where servers come and go: a session that was ended must not come back with them.

A session is on one server, the one that had its key when it was created, and is never copied. Where
that one still has the key, a delete there is all there is to do. But the key may have got another
owner since, who knows nothing of the session; and when that one leaves, the session would be back.
So what the owner does not have is looked for at every server: a round trip for each of them.
"""

from __future__ import annotations

from sessionstore.core.errors import StoreError
from sessionstore.core.flow import Flow
from sessionstore.stores.base import Conflict, Deleted, Missing, Version
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.topology import Topology


def delete(
    key: bytes, version: Version | None, topology: Topology
) -> Flow[Deleted | Conflict | Missing]:
    """Delete, or compare-and-delete, at the key's owner, or wherever it is instead.

    :raises StoreError: it was at none of those that could be told, and one could not; all others
        have been
    """
    result = yield from commands.delete(key, version)
    problem: StoreError | None = None
    # Those in trouble last: they may use up the time.
    nodes = sorted(topology.nodes(), key=lambda node: node.breaker.error is not None)
    owner = topology.node_for(key)
    for node in nodes:
        if not isinstance(result, Missing):
            return result
        if node is owner:
            continue
        try:
            result = yield from commands.delete(key, version, route=node)
        except StoreError as error:
            problem = problem or error
    if problem is not None and isinstance(result, Missing):
        raise problem
    return result
