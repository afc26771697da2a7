"""The network, and the certificates."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from sessionstore.stores.redis import RedisStore
from sessionstore.testing import FaultProxy, black_hole
from tests.adapters.conftest import MakeSite
from tests.stores.carrying import Stopwatch
from tests.stores.redis.hostile_rows.conftest import (
    TIMEOUT,
    begun,
    is_503,
    read,
    recovered,
    token,
    write,
)
from tests.stores.redis.test_tls import HANDSHAKE, expired_server
from tests.support.certificates import Certificates
from tests.support.listeners import forwarding
from tests.support.servers import RedisServer
from tests.support.sites import Browser, Site

# -- 28 --

FAULTS = ["reset", "silent", "full", "black_hole", "half_open", "half", "stalled", "slices"]


@pytest.mark.parametrize("fault", FAULTS)
def test_row28_a_bad_network_is_a_503_by_the_deadline_and_passes(
    site: Site, proxy: FaultProxy, fault: str
) -> None:
    browser = begun(site)
    cookie = browser.cookie
    proxy.delay = 0.02
    proxy.fault = fault  # type: ignore[assignment]
    for action in (read, write):
        with Stopwatch(TIMEOUT):
            answer = browser.get(action)
        assert is_503(answer)
    proxy.fault = ""
    assert recovered(browser)
    assert browser.cookie == cookie
    assert browser.do(read) == 2
    assert isinstance(site.store, RedisStore)
    assert site.store.connections <= 1


@contextmanager
def nobody() -> Iterator[tuple[str, int]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address: tuple[str, int] = listener.getsockname()
    yield address


@pytest.mark.parametrize("where", [nobody, black_hole], ids=["refused", "black hole"])
def test_row28_a_server_that_cannot_be_reached_is_a_503_by_the_deadline(
    make_site: MakeSite, where: Callable[[], AbstractContextManager[tuple[str, int]]]
) -> None:
    with where() as (host, port), Stopwatch(TIMEOUT):
        answer = Browser(make_site(f"redis://{host}:{port}"), token()).get(read)
    assert is_503(answer)


# -- 29 --


@contextmanager
def wrong_host(server: RedisServer, directory: Path) -> Iterator[str]:
    port = int(server.url.rpartition(":")[2].partition("/")[0])
    with forwarding("127.0.0.2", port) as other:
        yield server.url.replace("localhost", "127.0.0.2").replace(f":{port}", f":{other}")


@contextmanager
def wrong_authority(server: RedisServer, directory: Path) -> Iterator[str]:
    other = Certificates.make(directory)
    yield f"{server.url.partition('?')[0]}?ca={quote(str(other.ca))}"


@contextmanager
def expired(server: RedisServer, directory: Path) -> Iterator[str]:
    with expired_server(directory) as url:
        yield url


@pytest.mark.parametrize("peer", [wrong_host, wrong_authority, expired])
def test_row29_a_peer_that_is_not_proven_is_refused(
    make_site: MakeSite,
    redis_tls_server: RedisServer,
    tmp_path: Path,
    peer: Callable[[RedisServer, Path], AbstractContextManager[str]],
) -> None:
    with peer(redis_tls_server, tmp_path) as url, Stopwatch(TIMEOUT):
        answer = Browser(make_site(url), token()).get(read)
    assert is_503(answer, "certificate", "TLS")


def test_row29_a_plain_text_peer_is_refused_and_told_nothing(
    make_site: MakeSite, proxy: FaultProxy
) -> None:
    site = make_site(f"rediss://:the-password@{proxy.address}")
    with Stopwatch(TIMEOUT):
        answer = Browser(site, token()).get(read)
    assert is_503(answer, "TLS")
    assert proxy.requests
    assert all(data.startswith(HANDSHAKE) for data in proxy.requests)
