"""What a Redis server, a sentinel or a cluster says, after hiredis has taken it apart.

A server that was broken into may answer anything, in RESP3 as well, which hiredis reads unasked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

from sessionstore.cli.diagnosis import diagnose
from sessionstore.core.errors import StoreError
from sessionstore.core.flow import Command, run
from sessionstore.stores.attempts import Failure
from sessionstore.stores.redis import commands
from sessionstore.stores.redis.cluster import SLOTS, Cluster, ranges_from
from sessionstore.stores.redis.commands import Route
from sessionstore.stores.redis.durability import shortfall
from sessionstore.stores.redis.endpoint import NOTHING_YET, Endpoint, make_reader, pack, take_reply
from sessionstore.stores.redis.examination import examine
from sessionstore.stores.redis.failures import ReplyError, from_reply, redirect_in, spoils
from sessionstore.stores.redis.greetings import CLUSTER_REPLICA, PRIMARY
from sessionstore.stores.redis.login import wants_login
from sessionstore.stores.redis.sentinel import Sentinels, view_from
from sessionstore.stores.redis.topology import Node, Topology
from tests.fuzz.source import Source
from tests.support.portions import portions

KEY: Final = b"fuzz:s:h"
VALUE: Final = b"\1revision 12.and the rest"
NODE: Final = "node:6379"
_CODE: Final = re.compile(r"[A-Z]{2,32}")
_HUGE: Final = re.compile(rb"[*%~>|][^\r]{0,3}[0-9]{7}")
"""A list of millions that is only announced: hiredis makes room for it at once, and needs seconds
for that (redis/hiredis#1357)."""


# -- bytes --


def raw(data: bytes) -> None:
    """RESP in any portions; then whatever looks at any reply."""
    source = Source(data)
    cuts = [source.number(2) for _ in range(source.number() % 4)]
    stream = source.rest()
    if _HUGE.search(stream):
        return
    whole, ended = _read([stream])
    again, ended_again = _read(portions(stream, cuts))
    assert (repr(again), ended_again) == (repr(whole), ended)
    for reply in whole:
        _look_at(reply)


def _read(parts: Any) -> tuple[list[Any], bool]:
    reader, replies = make_reader(), []
    try:
        for part in parts:
            reader.feed(part)
            while (reply := take_reply(reader, NODE)) is not NOTHING_YET:
                replies.append(reply)
    except Failure as failure:
        assert failure.lost
        assert not failure.retry
        return replies, True
    return replies, False


def _look_at(reply: Any) -> None:
    """What is done with a reply before anybody knows what it should be."""
    wants_login(reply)
    if isinstance(reply, ReplyError):
        _error(reply)
    for decode in (commands.hello, commands.role):
        with suppress(StoreError):
            decode(reply)
    for greeting in (PRIMARY, CLUSTER_REPLICA):
        with suppress(Failure):
            greeting.check(reply, NODE)
    with suppress(Failure):
        _check_ranges(ranges_from(reply, "asked", NODE))
    with suppress(Failure):
        _check_view(view_from([reply] * 3, "service", NODE))


def _error(reply: ReplyError) -> None:
    """No message quotes the server, but for a code."""
    failure = from_reply(reply, NODE)
    assert isinstance(failure.error, StoreError)
    spoils(reply)
    said = re.findall(r"\((.*)\) \(node:6379\)$", str(failure.error))
    assert all(_CODE.fullmatch(each) or each in {"no code", "maxclients"} for each in said)
    redirect = redirect_in(reply)
    if redirect is not None:
        assert redirect.port >= 0
        assert redirect.slot >= 0


# -- replies --


class _Server:
    """Makes replies of the fuzzer's bytes."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._kinds: tuple[Callable[[int], Any], ...] = (
            *(lambda level: None, lambda level: source.number(2), self._bytes, self._usual),
            *(self._list, self._pairs, self._error, self._usual_pairs),
            *(lambda level: -source.number(), lambda level: source.choice(_RESP3), self._dict),
            lambda level: str(source.number()).encode(),
        )

    def execute(self, command: Command[Any]) -> Any:
        """As the transports do it."""
        if not self.source:
            raise StoreError("nothing more")
        pack(command.request)
        reply = self.reply()
        if type(reply) is ReplyError:
            raise from_reply(reply, NODE).error
        if command.route is Route.REPLICA:
            reply = reply, self.source.flag()
        return reply

    def reply(self, level: int = 0) -> Any:
        """One that hiredis could give."""
        if level > 4:
            return None
        return self.source.choice(self._kinds)(level + 1)

    def _bytes(self, level: int) -> bytes:
        return self.source.bytes()

    def _usual(self, level: int) -> bytes:
        return self.source.choice(_USUAL)

    def _list(self, level: int) -> list[Any]:
        return self.source.list(lambda: self.reply(level), 8)

    def _pairs(self, level: int) -> list[Any]:
        pairs = self.source.list(lambda: [self._usual(level), self.reply(level)], 12)
        return [each for pair in pairs for each in pair]

    def _usual_pairs(self, level: int) -> list[Any]:
        return self.source.list(lambda: self._usual(level), 24)

    def _error(self, level: int) -> ReplyError:
        code = self.source.choice((b"", b"ERR", b"MOVED 7 ", b"ASK 7 ", b"NOPERM", b"NOSCRIPT"))
        return ReplyError((code + self.source.bytes()).decode("utf-8", "replace"))

    def _dict(self, level: int) -> dict[Any, Any]:
        return dict(self.source.list(lambda: (self.source.bytes(), self.reply(level)), 6))


_RESP3: Final = (True, False, 1.5, float("inf"), float("nan"), -1.0, 1e300)
_USUAL: Final = (
    *(b"OK", b"master", b"slave", b"server", b"version", b"role", b"redis", b"7.2.4", b"0"),
    *(b"ip", b"port", b"flags", b"config-epoch", b"master-link-status", b"ok", b"s_down", b"6379"),
    *(b"maxmemory", b"maxmemory-policy", b"appendonly", b"save", b"yes", b"noeviction"),
    *(b"selectors", b"commands", b"keys", b"~*", b"-@all +get", b"default", b"hostname", b"?"),
    b"used_memory:100\r\nmaxmemory:1000\r\nevicted_keys:0\r\nrole:master\r\naof_enabled:1\r\n",
    b"maxmemory:" + b"9" * 5000,
    b"connected_slaves:" + b"9" * 30 + b"\r\nmaxmemory_policy:volatile-lru\r\nmaxmemory:7",
)


def replies(data: bytes) -> None:
    """The verbs and the doctor's questions: a result, or a typed error."""
    server = _Server(Source(data))
    source, which = server.source, server.source.number() % 8
    route = source.choice((None, Route.DURABLE))
    flow: Any = (
        lambda: commands.load(KEY),
        lambda: commands.load_from_replica(KEY),
        lambda: commands.create(KEY, VALUE, 60, route),
        lambda: commands.replace(KEY, VALUE, 60, VALUE[1:13], route),
        lambda: commands.delete(KEY, source.choice((None, VALUE[1:13])), route),
        commands.server,
        lambda: examine("fuzz", b"fuzz:s:*", (KEY, VALUE)),
        lambda: examine("fuzz", b"fuzz:s:*", (KEY, VALUE)),
    )[which]()
    with suppress(StoreError):
        result = run(flow, server.execute)
        if which > 5:
            for finding in diagnose(result):
                assert finding.as_json()


# -- who is where --


def topologies(data: bytes) -> None:
    """Sentinels, clusters and redirects: a view of who is where, or a typed error."""
    server = _Server(Source(data))
    source = server.source
    which = source.number() % 4
    with suppress(StoreError, Failure):
        if which == 0:
            view = view_from([server.reply() for _ in range(2 + source.number() % 2)], "s", NODE)
            _check_view(view)
            sentinel = Endpoint("sentinel", 26379)
            watched = Sentinels("s", [sentinel], Endpoint(), 1.0, read_replicas=True)
            watched.told(Node(sentinel, 1.0, "sentinel"), view)
            _check_nodes(watched)
        elif which < 3:
            cluster = Cluster(Endpoint(), [Endpoint("seed")], 1.0, read_replicas=source.flag())
            ranges = ranges_from(_slots(server), "asked", NODE)
            _check_ranges(ranges)
            cluster.told(ranges)
            _redirect(cluster, source)
            _check_nodes(cluster)
        else:
            answers = source.list(server.reply, 3)
            assert isinstance(shortfall(Node(Endpoint("h"), 1.0), answers, 0.0), str)


def _slots(server: _Server) -> Any:
    source = server.source
    if source.flag():
        return server.reply()

    def entry() -> Any:
        more = [server.reply()] if source.flag() else []
        host = source.choice((b"h", b"", None, b"?", source.bytes()))
        return [host, source.choice((6379, 0, 65536, -1, b"6379", server.reply())), b"id", *more]

    def line() -> Any:
        first = source.number(2) % (SLOTS + 2)
        return [first, first + source.number() % 3, *source.list(entry, 3)]

    return source.list(line, 4)


def _redirect(cluster: Cluster, source: Source) -> None:
    kind = source.choice(("MOVED", "ASK"))
    text = f"{kind} {source.number(2)} {source.text()}:{source.number(3)}"
    redirect = redirect_in(ReplyError(text))
    if redirect is not None:
        cluster.redirected(redirect, Node(Endpoint("asked"), 1.0))


def _check_ranges(ranges: Any) -> None:
    for first, last, address, copies in ranges:
        assert 0 <= first <= last < SLOTS
        for host, port in (address, *copies):
            _check_address(host, port)
            assert host, "it was the one that was asked"


def _check_view(view: Any) -> None:
    assert type(view.epoch) is int
    for address in (view.primary, *view.replicas):
        _check_address(*address)


def _check_nodes(topology: Topology) -> None:
    for node in topology.nodes():
        _check_address(node.endpoint.host, node.endpoint.port)


def _check_address(host: Any, port: Any) -> None:
    # Whether there is such an address is found out by connecting.
    assert type(host) is str
    assert type(port) is int


# -- seeds --


def seeds() -> Iterator[bytes]:
    """What servers say, and what none should."""
    for stream in (
        *(b"+OK\r\n$-1\r\n", b":1\r\n", b"$5\r\nvalue\r\n", b"*-1\r\n"),
        *(b"-MOVED 866 10.0.0.7:6379\r\n", b"-ASK 866 [::1]:6379\r\n", b"-MOVED 1 ?:6379\r\n"),
        *(b"-NOAUTH Authentication required.\r\n", b"-LOADING Redis is loading\r\n"),
        b"-ERR Error running script (call to f_0): @user_script:5: -OOM command not allowed\r\n",
        b"-ERR max number of clients reached\r\n",
        b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$4\r\nrole\r\n$6\r\nmaster\r\n",
        b"*1\r\n*3\r\n:0\r\n:16383\r\n*3\r\n$1\r\nh\r\n:6379\r\n$2\r\nid\r\n",
        b"*2\r\n$9\r\n127.0.0.1\r\n$4\r\n6379\r\n",
        *(b"%1\r\n$1\r\na\r\n:1\r\n", b"~1\r\n:1\r\n", b",inf\r\n", b"#t\r\n", b"_\r\n"),
        *(b"HTTP/1.1 400 Bad Request\r\n", b"\x15\x03\x01\x00\x02\x02"),
    ):
        yield b"\0" + stream
        yield b"\1\0\3" + stream


def topology_seeds() -> Iterator[bytes]:
    """Each kind of teller."""
    for which in range(4):
        yield bytes((which, 1, 4, 2, 3, 0, 1, 7, 4, 2, 2, 1, 104, 1, 24, 235))
    yield b"\1\0\0\1\0\0\0\1\1\0\0\0" + bytes(20)
    facts = (9, 9 + 7, 10, 16, 12, 8, 13, 14, 11, 15)
    address = b"\4\2\2\1h\3\x10"
    yield b"\0\1" + address + b"\7\x0a" + bytes(facts) + b"\4\1\7\x0a" + bytes(facts)
