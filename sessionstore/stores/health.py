"""What a process has seen of a server, and the circuit breaker that acts on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sessionstore.core.errors import StoreError

PROBE_SECONDS: Final = 0.25
"""How often one request may try a server that is known to be dead. All others are spared it."""

IDLE_SECONDS: Final = 1.0
"""Seconds without a request, after a probe was due, that make what is known too old."""

_FAILURES: Final = 3


@dataclass(frozen=True)
class NodeHealth:
    """One server, as this process sees it.

    :param node: ``host:port``, or the socket's path
    :param role: ``"primary"``, ``"replica"``, ``"sentinel"`` or ``"configuration endpoint"``
    :param available: whether requests are sent to it; if not, one of them is its probe now and then
    :param answered: whether it has ever answered this process
    :param failing: seconds since it stopped answering; 0 while it answers, or was never asked
    :param error: what was seen last, while it is failing; or why else it is not used
    :param kept_out: whether it answers and is not used all the same, because what it holds may be
        out of date (Memcached with ``failover=next``)
    """

    node: str
    role: str
    available: bool
    answered: bool = False
    failing: float = 0.0
    error: str | None = None
    kept_out: bool = False


class Breaker:
    """Knows a server that does not answer, so that it costs microseconds and not the deadline.

    It opens when nothing has come from the server for ``patience`` seconds and three attempts: a
    burst of failures at one instant, such as a lost connection that many tasks shared, is one
    event. While it is open, one request in ``PROBE_SECONDS`` may try; its success closes it. If
    nobody has asked for ``IDLE_SECONDS``, all may, until one of them fails: a process with few
    requests would otherwise refuse the second of two at once long after the server is well again.

    No locks: the worst that a race of threads can do is a probe more.

    :param patience: seconds of silence until it opens
    """

    __slots__ = ("_answered", "_failures", "_patience", "_probe_at", "_since", "error", "is_open")

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._answered = False
        self._reset()

    def _reset(self) -> None:
        self._since = -1.0
        self._failures = 0
        self.is_open = False
        """Whether requests are spared."""
        self._probe_at = 0.0
        self.error: StoreError | None = None

    def admits(self, now: float) -> bool:
        """Whether this request may try the server; while it is open, at most as its probe.

        :param now: on the clock of :func:`time.monotonic`
        """
        if not self.is_open:
            return True
        if now < self._probe_at:
            return False
        if now - self._probe_at >= IDLE_SECONDS:
            self.is_open = False  # and the failures are not forgotten: one more opens it
            return True
        self._probe_at = now + PROBE_SECONDS
        return True

    def succeeded(self) -> None:
        """The server has answered, be it with an error."""
        self._answered = True
        if self._failures:
            self._reset()

    def failed(self, now: float, error: StoreError) -> None:
        """The server could not be reached, or did not answer in time."""
        if not self._failures:
            self._since = now
        self._failures += 1
        self.error = error
        if self._failures >= _FAILURES and now - self._since >= self._patience:
            self.is_open = True
            self._probe_at = now + PROBE_SECONDS

    def health(self, node: str, role: str, now: float) -> NodeHealth:
        """As of now."""
        if not self._failures:
            return NodeHealth(node, role, available=True, answered=self._answered)
        # Without the node's name, which is in `node`.
        text = str(self.error).removesuffix(f" ({node})")
        return NodeHealth(node, role, not self.is_open, self._answered, now - self._since, text)
