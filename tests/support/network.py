"""A network that fails for a while, by a :class:`FaultProxy`."""

from __future__ import annotations

from sessionstore.testing import FaultProxy


def mend(proxy: FaultProxy) -> None:
    """No fault any more, and no connection that has had one.

    A connection that went on after some of its replies had been swallowed would give later ones to
    the wrong requests: no network loses bytes from the midst of a stream.
    """
    proxy.fault = "lost"
    proxy.cut()
    proxy.fault = ""
