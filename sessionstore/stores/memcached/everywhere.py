"""Deleting where servers come and go: a session that was ended must not come back with them.

A session is on one server, the one that had its key when it was created. Between a request's load
and its delete the key may get another owner, who knows nothing of it; and when that one leaves, the
session would be back. So a delete is said to every server, which is a round trip for each of them:
logouts are rare.
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
    """Delete, or compare-and-delete, at the key's owner and then at all others.

    A conflict at any of them is the result: the session is still there, and has changed.

    :raises StoreError: one of them could not be told; all others have been
    """
    result = yield from commands.delete(key, version)
    problem: StoreError | None = None
    # Those in trouble last: they may use up the time.
    nodes = sorted(topology.nodes(), key=lambda node: node.breaker.error is not None)
    owner = topology.node_for(key)
    for node in nodes:
        if isinstance(result, Conflict):
            break
        if node is owner:
            continue
        try:
            other = yield from commands.delete(key, version, route=node)
        except StoreError as error:
            problem = problem or error
        else:
            if not isinstance(other, Missing):
                result = other
    if problem is not None and not isinstance(result, Conflict):
        raise problem
    return result
