"""TLS: chain and host name verified, and never a fallback."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from sessionstore.core.errors import StoreRefused, StoreUnavailable
from sessionstore.stores.url import open_store
from sessionstore.testing import FaultProxy
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch, carry
from tests.support.certificates import Certificates
from tests.support.listeners import forwarding, listening
from tests.support.servers import RedisServer

TIMEOUT = 1.0

HANDSHAKE = b"\x16\x03"
"""What a TLS connection begins with: the record type and the version (RFC 8446, section 5.1)."""


def refused(url: str, how: str, match: str | None = None) -> None:
    store = open_store(url)
    with Stopwatch(TIMEOUT), pytest.raises(StoreRefused, match=match):
        carry(store, how, store.create(store.key("h"), value(1), 60))
    store.close()


@BOTH
def test_the_wrong_host_name(redis_tls_server: RedisServer, how: str) -> None:
    assert redis_tls_server.certificates is not None
    # It is the same server, but its certificate is not for 127.0.0.2.
    url = redis_tls_server.url.replace("localhost", "127.0.0.2")
    # Redis listens on 127.0.0.1 only: on Linux, 127.0.0.2 needs somebody to forward it.
    port = int(url.rpartition(":")[2].partition("/")[0])
    with forwarding("127.0.0.2", port) as other:
        refused(f"{url.replace(f':{port}', f':{other}')}&timeout={TIMEOUT}", how, "TLS: ")


@BOTH
def test_an_unknown_authority(redis_tls_server: RedisServer, how: str, tmp_path: Path) -> None:
    other = Certificates.make(tmp_path)
    base = redis_tls_server.url.partition("?")[0]
    refused(f"{base}?ca={quote(str(other.ca))}&timeout={TIMEOUT}", how, "TLS: ")
    # The system's authorities do not know it either.
    refused(f"{base}?timeout={TIMEOUT}", how, "TLS: ")


@BOTH
def test_an_expired_certificate(how: str, tmp_path: Path) -> None:
    with expired_server(tmp_path) as url:
        refused(f"{url}&timeout={TIMEOUT}", how, "expired")


@BOTH
def test_a_plain_text_peer(how: str) -> None:
    """It answers as Redis answers a ClientHello that has a line break in it."""
    with listening(None, b"-ERR unknown command\r\n") as port:
        refused(f"rediss://localhost:{port}?timeout={TIMEOUT}", how, "TLS failed")


@BOTH
def test_a_plain_text_client(redis_tls_server: RedisServer, how: str) -> None:
    port = redis_tls_server.url.rpartition(":")[2].partition("/")[0]
    store = open_store(f"redis://127.0.0.1:{port}?timeout=1")
    with Stopwatch(1), pytest.raises((StoreUnavailable, StoreRefused)):
        carry(store, how, store.load(store.key("h")))
    store.close()


@BOTH
def test_mutual_tls_without_a_certificate(
    redis_mutual_tls_server: RedisServer, how: str, prefix: str
) -> None:
    # Redis tells in an alert or just hangs up, as the TLS version has it.
    url = redis_mutual_tls_server.url.partition("&cert=")[0]
    store = open_store(f"{url}&timeout=2", prefix=prefix)
    with Stopwatch(2), pytest.raises((StoreRefused, StoreUnavailable)):
        carry(store, how, store.create(store.key("h"), value(1), 60))
    store.close()
    with redis_mutual_tls_server.client() as client:
        assert not client.exists(store.key("h"))


@BOTH
def test_mutual_tls_with_a_certificate_of_another_authority(
    redis_mutual_tls_server: RedisServer, how: str, tmp_path: Path
) -> None:
    other = Certificates.make(tmp_path)
    url = redis_mutual_tls_server.url.partition("&cert=")[0]
    client = f"&cert={quote(str(other.client))}&key={quote(str(other.client_key))}"
    store = open_store(f"{url}{client}&timeout=0.5")
    with Stopwatch(0.5), pytest.raises((StoreRefused, StoreUnavailable)):
        carry(store, how, store.create(store.key("h"), value(1), 60))
    store.close()


@BOTH
@pytest.mark.parametrize("fault", ["", "reset", "silent"])
def test_there_is_no_fallback_to_plain_text(
    redis_tcp_server: RedisServer, how: str, fault: str
) -> None:
    """A Redis that speaks no TLS, or somebody between who lets none through: every connection
    begins with a TLS handshake, and the password is in none of them."""
    port = int(redis_tcp_server.url.rpartition(":")[2].partition("/")[0])
    with FaultProxy(("127.0.0.1", port), fault) as proxy:
        store = open_store(f"rediss://:the-password@{proxy.address}?timeout=0.3")
        with Stopwatch(0.3), pytest.raises((StoreRefused, StoreUnavailable)):
            carry(store, how, store.create(store.key("h"), value(1), 60))
        store.close()
        assert proxy.requests
        assert all(data.startswith(HANDSHAKE) for data in proxy.requests)
        assert b"the-password" not in b"".join(proxy.requests)


@contextmanager
def expired_server(directory: Path) -> Iterator[str]:
    """One whose certificate was good until yesterday; gives its URL."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(directory / "ca.pem")
    yesterday = datetime.now(UTC) - timedelta(days=1)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", not_after=yesterday).configure_cert(server)
    with listening(server) as port:
        yield f"rediss://localhost:{port}?ca={quote(str(directory / 'ca.pem'))}"


@BOTH
def test_more_than_the_socket_gives_at_once(
    redis_tls_server: RedisServer, prefix: str, how: str
) -> None:
    """What TLS has decrypted and not handed out yet, no socket becomes readable for."""
    store = open_store(redis_tls_server.url, prefix=prefix, timeout=10)
    key = store.key("h")
    for size in (16_300, 32_768, 200_000):
        stored = value(size, bytes(size))
        carry(store, how, store.create(key, stored, 60))
        entry = carry(store, how, store.load(key))
        assert entry.value == stored
        carry(store, how, store.delete(key))
    store.close()
