"""Requests and replies, as either protocol carries them; and which reply fits which request."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final, NamedTuple, Protocol

LARGEST_VALUE: Final = 1 << 30
"""Bytes: the largest item that any server can be set to (``-I 1024m``). What claims to be larger
is no reply."""
MOST_STATS: Final = 10_000
"""Lines of statistics. Servers have a few hundred."""
LARGEST_CONFIGURATION: Final = 1 << 17
"""Bytes: more than 256 nodes with the longest names there can be."""


class Verb(Enum):
    """What is asked."""

    # Enum's own is not written in C, and these are looked up by the command.
    __hash__ = object.__hash__

    GET = auto()
    GAT = auto()
    """Get, and give it a new expiry."""
    TOUCH = auto()
    """Give it a new expiry. A session's touch is none of these two: what it moves is a deadline in
    the record, by compare-and-set."""
    ADD = auto()
    """Store under a free key."""
    REPLACE = auto()
    """Compare-and-set. Never creates."""
    SET = auto()
    """Store, whatever is there."""
    DELETE = auto()
    """With ``cas``: compare-and-delete."""
    HELLO = auto()
    """The first thing said in the meta protocol: does the server speak it, and want a log-in?"""
    NOOP = auto()
    VERSION = auto()
    STATS = auto()
    """``key`` says which."""
    CONFIGURATION = auto()
    """ElastiCache's addition: ``key`` says which; ``cluster`` is the list of nodes."""
    MECHANISMS = auto()
    """SASL: what may be used to log in (binary protocol alone)."""
    AUTH = auto()
    """``value`` is what the protocol in question wants."""
    STEP = auto()
    """SASL: the answer to a challenge."""


class Outcome(Enum):
    """What became of it."""

    __hash__ = object.__hash__

    OK = auto()
    MISSING = auto()
    EXISTS = auto()
    """The key is taken, or has another CAS number."""
    NOT_STORED = auto()
    """The key is taken (ADD), or free (REPLACE)."""
    CONTINUE = auto()
    """SASL: the server has sent a challenge."""
    # From here on: what is not an answer to the question.
    UNAUTHENTICATED = auto()
    TOO_LARGE = auto()
    FULL = auto()
    UNKNOWN = auto()
    """The server does not know the command."""
    INVALID = auto()
    CROWDED = auto()
    """The server has no free connection."""
    FAILED = auto()
    """Something else, at the server or, where a proxy answers, behind it."""


GET: Final = Verb.GET
OK: Final = Outcome.OK
"""For what is done for every command: Python 3.11 takes 0.1 us to find a member in its Enum."""


class Request(NamedTuple):
    """One request.

    :param ttl: seconds
    :param cas: the number that the item must have; 0: any
    """

    verb: Verb
    key: bytes = b""
    value: bytes = b""
    ttl: float = 0.0
    cas: int = 0

    def __repr__(self) -> str:
        # The value may be a session, or a password.
        return f"<Request {self.verb.name} {self.key!r}>"


class Reply(NamedTuple):
    """One reply.

    :param value: None: there is none, which is not the same as an empty one
    :param opaque: the request's number, which comes back with most replies
    :param verb: of the request, where the protocol repeats it
    """

    outcome: Outcome
    value: bytes | None = None
    cas: int = 0
    opaque: int | None = None
    verb: Verb | None = None
    stats: Mapping[str, str] | None = None

    def __repr__(self) -> str:
        return f"<Reply {self.outcome.name}>"


class Malformed(Exception):
    """What the server said is not this protocol, or does not belong to what was asked.

    Its text never quotes the server.
    """


class Parser(Protocol):
    """Takes bytes in any portions, gives whole replies."""

    def feed(self, data: bytes | memoryview) -> None:
        """Add what has arrived."""

    def next(self) -> Reply | None:
        """The next whole reply.

        :raises Malformed: nothing that follows means anything
        """

    def has_data(self) -> bool:
        """Whether there are bytes, or parts of a reply, that no reply was made of."""


class Codec(Protocol):
    """One of the two protocols."""

    name: str
    first_number: int
    """Of a connection's first request."""
    numbered: frozenset[Verb]
    """Requests whose reply, unless it is an error, has their number in it."""

    def pack(self, request: Request, opaque: int, expiry: int) -> bytes:
        """A request's bytes.

        :param expiry: the TTL as the server takes it
        """

    def parser(self) -> Parser:
        """For a new connection."""


ERRORS: Final = frozenset(
    (
        *(Outcome.UNAUTHENTICATED, Outcome.TOO_LARGE, Outcome.FULL, Outcome.UNKNOWN),
        *(Outcome.INVALID, Outcome.CROWDED, Outcome.FAILED),
    )
)

_ANSWERS: Final = {
    Verb.GET: frozenset((Outcome.OK, Outcome.MISSING)),
    Verb.GAT: frozenset((Outcome.OK, Outcome.MISSING)),
    Verb.TOUCH: frozenset((Outcome.OK, Outcome.MISSING)),
    Verb.ADD: frozenset((Outcome.OK, Outcome.EXISTS, Outcome.NOT_STORED)),
    Verb.REPLACE: frozenset((Outcome.OK, Outcome.EXISTS, Outcome.MISSING, Outcome.NOT_STORED)),
    Verb.SET: frozenset((Outcome.OK,)),
    Verb.DELETE: frozenset((Outcome.OK, Outcome.EXISTS, Outcome.MISSING)),
    Verb.HELLO: frozenset((Outcome.OK, Outcome.MISSING)),
    Verb.NOOP: frozenset((Outcome.OK,)),
    Verb.VERSION: frozenset((Outcome.OK,)),
    # Binary: MISSING where there are no such statistics.
    Verb.STATS: frozenset((Outcome.OK, Outcome.MISSING)),
    Verb.CONFIGURATION: frozenset((Outcome.OK, Outcome.MISSING)),
    Verb.MECHANISMS: frozenset((Outcome.OK,)),
    Verb.AUTH: frozenset((Outcome.OK, Outcome.CONTINUE)),
    Verb.STEP: frozenset((Outcome.OK, Outcome.CONTINUE)),
}
VALUED: Final = frozenset((Verb.GET, Verb.GAT, Verb.VERSION, Verb.CONFIGURATION, Verb.MECHANISMS))
STORING: Final = frozenset((Verb.ADD, Verb.REPLACE, Verb.SET))
EXPIRING: Final = STORING | {Verb.GAT, Verb.TOUCH}
"""Requests with a TTL."""


def fits(request: Request, opaque: int, reply: Reply, numbered: frozenset[Verb]) -> bool:
    """Whether this can be the reply to that request.

    :param opaque: the number that the request was sent with
    :param numbered: see :class:`Codec`
    """
    verb, outcome = request.verb, reply.outcome
    if reply.verb is not None and reply.verb is not verb:
        return False
    if reply.opaque is not None and reply.opaque != opaque:
        return False
    if outcome in ERRORS:
        return True
    if outcome not in _ANSWERS[verb] or (reply.opaque is None and verb in numbered):
        return False
    if outcome is not OK:
        return outcome is not Outcome.EXISTS or verb is not Verb.DELETE or request.cas != 0
    if verb is GET or verb is Verb.GAT:
        return reply.value is not None and reply.stats is None and reply.cas > 0
    if verb is Verb.CONFIGURATION and reply.stats == {}:
        return True  # the text protocol's "END" alone: there is none
    if (reply.value is not None) != (verb in VALUED):
        return False
    if (reply.stats is not None) != (verb is Verb.STATS):
        return False
    # A server that was started without CAS (-C) says 0: nothing could be compared by that.
    return verb not in STORING or reply.cas > 0
