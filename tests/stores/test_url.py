"""URLs: strict, helpful, and never quoting a password."""

from __future__ import annotations

import ssl
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from sessionstore.core.errors import ConfigurationError, MissingExtra
from sessionstore.stores.location import Location, parse
from sessionstore.stores.memcached import MemcachedStore
from sessionstore.stores.memory import MemoryStore
from sessionstore.stores.redis import RedisStore
from sessionstore.stores.sql import SqlStore
from sessionstore.stores.url import SCHEMES, open_store
from tests.support.certificates import Certificates

SECRET = "s3cr3t"


BAD_HOSTS = ["a..b", "a" * 64, f"a.{'b' * 64}.c", f"{'a' * 60}." * 5, "a..", ".a"]


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("memory://", Location("memory")),
        ("REDIS://Host", Location("redis", (("Host", None),))),
        (
            "redis://u:p%40%2F%3a@h:1/2?timeout=1&prefix=a",
            Location("redis", (("h", 1),), "/2", {"timeout": "1", "prefix": "a"}, "u", "p@/:"),
        ),
        ("redis://:p@h", Location("redis", (("h", None),), username=None, password="p")),
        ("redis://u:@h", Location("redis", (("h", None),), username="u", password="")),
        ("redis://u@h", Location("redis", (("h", None),), username="u")),
        ("redis://[::1]:6380/0", Location("redis", (("::1", 6380),), "/0")),
        ("redis://[::1]", Location("redis", (("::1", None),))),
        ("redis://a,b:1", Location("redis", (("a", None), ("b", 1)))),
        (
            "redis+unix:///run/r%20s.sock?db=1",
            Location("redis+unix", (), "/run/r s.sock", {"db": "1"}),
        ),
        ("sqlite:////var/s.db", Location("sqlite", (), "//var/s.db")),
        ("x://h?a=b+c%2B", Location("x", (("h", None),), "", {"a": "b+c+"})),
    ],
)
def test_parse(url: str, location: Location) -> None:
    assert parse(url) == location


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("", "begins with scheme://"),
        ("localhost:6379", "begins with scheme://"),
        ("://x", "begins with scheme://"),
        (f"redis://:{SECRET}/x@h", "percent-encode"),
        (f"redis://:{SECRET}#x@h", "percent-encode"),
        (f"redis://:{SECRET}?x@h", "percent-encode"),
        (f"redis://:{SECRET}@x@h:0", "port"),
        (f"redis://:{SECRET}%zz@h", "two hex digits"),
        (f"redis://:{SECRET}%ff@h", "not UTF-8"),
        (f"redis://:{SECRET}@h:0", "port"),
        (f"redis://:{SECRET}@h:65536", "port"),
        (f"redis://:{SECRET}@h:", "port"),
        (f"redis://:{SECRET}@h:6379x", "port"),
        (f"redis://:{SECRET}@h:\u0663", "port"),
        (f"redis://:{SECRET}@-h", "host"),
        (f"redis://:{SECRET}@h,,i", "host"),
        (f"redis://:{SECRET}@[::g]", "host|IPv6"),
        (f"redis://:{SECRET}@[::1]x", "host|IPv6"),
        (f"redis://:{SECRET}@[1.2.3.4]", "IPv6"),
        (f"redis://:{SECRET} @h", "space"),
        (f"redis://:{SECRET}@h\r\n", "control"),
        (f"redis://:{SECRET}@h?a", "name=value"),
        (f"redis://:{SECRET}@h?a=1&", "name=value"),
        (f"redis://:{SECRET}@h?=1", "name=value"),
        (f"redis://:{SECRET}@h?timeout=1&timeout=2", "twice"),
        # What does not fit the scheme.
        ("redis://", "no host"),
        ("redis:///0", "no host"),
        (f"redis://:{SECRET}@a,b", "one host"),
        (f"redis://{SECRET}@h", "without a password"),
        (f"redis://:{SECRET}@h/zero", "number"),
        (f"redis://:{SECRET}@h/0/1", "number"),
        (f"redis://:{SECRET}@h/-1", "number"),
        (f"redis+unix://:{SECRET}@h/s", "no host"),
        ("redis+unix://", "path"),
        ("redis+unix:///", "path"),
        ("redis+unix:///s?db=one", "db"),
        # Sentinel, Cluster, replicas.
        ("redis+sentinel:///mymaster", "no host"),
        (f"redis+sentinel://:{SECRET}@h", "name of the service"),
        (f"redis+sentinel://:{SECRET}@h/", "name of the service"),
        (f"redis+sentinel://:{SECRET}@h/mymaster/zero", "number"),
        (f"redis+sentinel://:{SECRET}@h/mymaster/0/0", "number"),
        (f"redis+sentinel://:{SECRET}@h/m?sentinel_ca=x", "needs TLS"),
        (f"redis+sentinel://h/m?sentinel_username={SECRET}", "goes with one of"),
        (f"redis+sentinel://h/m?sentinel_password={SECRET}&sentinel_password_env=A", "one of"),
        (f"rediss+sentinel://:{SECRET}@h/m?sentinel_ca=/no/such/file", "no such file"),
        (f"redis+sentinel://:{SECRET}@h/m?replica=i", "unknown option 'replica'"),
        ("redis+cluster://", "no host"),
        (f"redis+cluster://:{SECRET}@h/1", "one database"),
        (f"redis+cluster://:{SECRET}@h?db=0", "unknown option 'db'"),
        (f"redis://:{SECRET}@h?read_from=anywhere", "primary or replica"),
        (f"redis://:{SECRET}@h?read_from=replica", "belong together"),
        (f"redis://:{SECRET}@h?replica=i", "belong together"),
        (f"redis://:{SECRET}@h?read_from=replica&replica=i:x", "port"),
        (f"redis://:{SECRET}@h?durable=yes", "0, 1 or all"),
        (f"redis+cluster://:{SECRET}@h?auth=iam&cache=c&region=r", "needs TLS"),
        ("memory://x", "memory://"),
        ("memory:///x", "memory://"),
        ("sqlite://x.db", "three slashes"),
        ("sqlite:///", "memory://"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:////no-such-directory/s.db", "no directory"),
        ("sqlite:///s.db?table=x;drop", "table"),
        ("postgresql+psycopg:///db", "no host"),
        (f"postgresql+psycopg://u:{SECRET}@h", "name of the database"),
        (f"postgresql+psycopg://u:{SECRET}@h/a/b", "name of the database"),
        (f"postgresql+psycopg://u:{SECRET}@h/db?host=/run", "twice"),
        # Unknown and bad options.
        (f"redis://:{SECRET}@h?time_out=1", "unknown option 'time_out'; .*timeout"),
        (f"redis://:{SECRET}@h?timeout=soon", "timeout='soon'"),
        (f"redis://:{SECRET}@h?timeout=0", "more than 0"),
        (f"redis://:{SECRET}@h?timeout=-1", "more than 0"),
        (f"redis://:{SECRET}@h?timeout=nan", "more than 0"),
        (f"redis://:{SECRET}@h?timeout=inf", "more than 0"),
        (f"redis://:{SECRET}@h?max_connections=0", "max_connections"),
        (f"redis://:{SECRET}@h?max_connections=-1", "max_connections"),
        (f"redis://:{SECRET}@h?prefix=a*", "prefix"),
        (f"redis://:{SECRET}@h?prefix=", "prefix"),
        (f"redis://:{SECRET}@h?ssl_context=1", "unknown option"),
        ("memory://?max_connections=1", "unknown option"),
        ("sqlite:///s.db?ca=x", "needs TLS"),
        ("redis://h?protocol=meta", "unknown option"),
        # Memcached.
        ("memcached://", "no host"),
        (f"memcached://u:{SECRET}@a,b,a", "server a is named twice"),
        ("memcached://a,b?weights=1", "weights= has 1 numbers, one for each server"),
        ("memcached://a,b?weights=1,x", "whole numbers with commas"),
        ("memcached://a,b?weights=1,0", "give a whole number, 1 or more"),
        ("memcached+unix:///s?weights=1", "unknown option"),
        (f"memcached://u:{SECRET}@h/0", "takes no path"),
        (f"memcached://:{SECRET}@h", "needs a user name and a password"),
        ("memcached://u:@h", "needs a user name and a password"),
        (f"memcached://{SECRET}@h", "without a password"),
        ("memcached://h?protocol=text", "there are binary and meta"),
        ("memcached://h?auth_optional=1", "needs a user name and password"),
        (f"memcached://u:{SECRET}@h?auth_optional=yes", "0 or 1"),
        ("memcached://u@h?auth=iam", "for Redis and Valkey"),
        ("memcached://h?cache=c", "unknown option"),
        ("memcached://h?auth_renew=1", "unknown option"),
        ("memcached://h?db=1", "unknown option"),
        ("memcached://h?max_connections=0", "max_connections"),
        ("memcached://h?ca=x", "memcacheds://"),
        ("memcached+discover://", "no host"),
        (f"memcached+discover://u:{SECRET}@h,i", "takes one host"),
        (f"memcached+discover://u:{SECRET}@h/0", "takes no path"),
        ("memcached+discover://h?poll=0", "poll=0.0: give seconds, more than 0"),
        ("memcached+discover://h?poll=inf", "give seconds"),
        ("memcached+discover://h?poll=often", "poll='often'"),
        ("memcached+discover://h?weights=1", "unknown option"),
        ("memcached+discover://h?ca=x", "memcacheds.discover://"),
        ("memcached://h?poll=60", "unknown option"),
        *(
            (f"{scheme}://h,{host}", rf"{scheme}\+discover:// instead")
            for scheme in ("memcached", "memcacheds")
            for host in (
                "C.x1.cfg.use1.cache.amazonaws.com",
                "c.x1.cfg.cnn1.cache.amazonaws.com.cn",
            )
        ),
        (f"memcached+unix://u:{SECRET}@h/s", "no host"),
        ("memcached+unix:///", "path"),
        ("memcached+unix:///s?ca=x", "needs TLS"),
        ("memcacheds://h?ca=/no/such/file", "memcacheds: ca=.*no such file"),
        ("memcacheds://h?insecure=1", "refused"),
        # What is not UTF-8 in the environment.
        (f"redis+unix://:{SECRET}@/a\udcff", "redis\\+unix: the URL is not UTF-8"),
        (f"memcached+unix://u:{SECRET}@/a\udcff", "not UTF-8"),
        (f"redis://:{SECRET}\udcff@h", "not UTF-8"),
        ("sqlite:////a?table=\udcff", "not UTF-8"),
        # A name that no resolver takes: its labels have 1 to 63 bytes (RFC 1035, section 2.3.4).
        *((f"redis://:{SECRET}@{host}", "the host is empty or malformed") for host in BAD_HOSTS),
        *((f"memcached://{host}", "the host is empty or malformed") for host in BAD_HOSTS),
        # TLS.
        (f"redis://:{SECRET}@h?ca=x", "rediss://"),
        (f"rediss://:{SECRET}@h?ca=/no/such/file", "no such file"),
        (f"postgresql+psycopg://u:{SECRET}@h/db?ca=/no/such/file", "no such file"),
        *(
            (f"{base}?{option}", "refused")
            for base in (f"rediss://:{SECRET}@h", f"redis://:{SECRET}@h")
            for option in (
                "ssl_cert_reqs=none",
                "cert_reqs=none",
                "ssl_check_hostname=false",
                "check_hostname=0",
                "verify=0",
                "tls_verify=false",
                "insecure=1",
                "skip_verify=true",
                "SSL_CERT_REQS=none",
                "ssl_min_version=TLSv1",
                "ssl_ciphers=NULL",
            )
        ),
        *(
            (f"postgresql+psycopg://u:{SECRET}@h/db?sslmode={mode}", "refused")
            for mode in ("disable", "allow", "prefer", "require", "verify-ca")
        ),
        # Schemes.
        (f"rediz://:{SECRET}@h", "rediz:// is not known; there are memory://"),
        ("http://h", "not known"),
        *(
            (f"{scheme}://:{SECRET}@h", "not supported in this version")
            for scheme in (
                "mysql+pymysql",
                "valkey",
            )
        ),
    ],
)
def test_what_is_wrong_is_said(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        open_store(url)
    assert SECRET not in "".join(traceback.format_exception(caught.value, chain=True)[-1:])
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://?prefix=a", MemoryStore),
        (f"redis://u:{SECRET}@h:6379/0?timeout=2.5&prefix=a&max_connections=3", RedisStore),
        (f"redis+unix://u:{SECRET}@/run/r.sock?db=1&prefix=a", RedisStore),
        (f"rediss://:{SECRET}@h/1?prefix=a", RedisStore),
        (
            (
                f"redis+sentinel://u:{SECRET}@h,i:1,[::1]/mymaster/2?prefix=a&read_from=replica"
                f"&sentinel_username=s&sentinel_password={SECRET}&durable=1"
            ),
            RedisStore,
        ),
        (f"rediss+sentinel://:{SECRET}@h/mymaster?prefix=a&durable=all", RedisStore),
        (f"redis+cluster://u:{SECRET}@h,i:1/0?prefix=a&read_from=replica", RedisStore),
        (f"rediss+cluster://:{SECRET}@h?prefix=a&durable=0", RedisStore),
        (f"redis://:{SECRET}@h?prefix=a&read_from=replica&replica=i,j:1", RedisStore),
        (f"memcached://u:{SECRET}@h:11211?timeout=2.5&prefix=a&max_connections=3", MemcachedStore),
        (f"memcached+unix://u:{SECRET}@/run/m.sock?prefix=a&protocol=meta", MemcachedStore),
        (f"memcacheds://u:{SECRET}@h?prefix=a&auth_optional=1", MemcachedStore),
        (f"memcached+discover://u:{SECRET}@h:11212?prefix=a&poll=5", MemcachedStore),
        ("memcacheds+discover://c.x1.cfg.use1.cache.amazonaws.com?prefix=a", MemcachedStore),
        ("memcached://c.x1.0001.use1.cache.amazonaws.com?prefix=a", MemcachedStore),
        ("sqlite:///s.db?prefix=a&table=t", SqlStore),
        (f"postgresql+psycopg://u:{SECRET}@h/db?prefix=a", SqlStore),
        (f"postgresql://u:{SECRET}@/db?host=/run/postgresql&port=5433&prefix=a", SqlStore),
    ],
)
def test_a_store_opens_without_connecting_and_shows_no_password(url: str, kind: type) -> None:
    store = open_store(url)
    assert type(store) is kind
    assert store.prefix == "a"
    assert SECRET not in repr(store)
    assert SECRET not in repr(vars(store))
    assert SECRET not in repr(parse(url))
    store.close()


def test_code_overrides_the_url() -> None:
    store = open_store("memory://?timeout=3&prefix=url", prefix="code", clock=lambda: 0.0)
    assert (store.timeout, store.prefix) == (3, "code")


def test_code_is_held_to_the_same_options() -> None:
    with pytest.raises(ConfigurationError, match="unknown option 'time_out'"):
        open_store("memory://", time_out=1)
    with pytest.raises(ConfigurationError, match="more than 0"):
        open_store("memory://", timeout=0)
    with pytest.raises(ConfigurationError, match="max_connections"):
        open_store("redis://h", max_connections=0)


BOTH_TLS = pytest.mark.parametrize("scheme", ["rediss", "memcacheds"])


@BOTH_TLS
def test_tls_by_an_ssl_context_in_code(tmp_path: Path, scheme: str) -> None:
    context = ssl.create_default_context()
    open_store(f"{scheme}://h", ssl_context=context).close()
    files = Certificates.make(tmp_path)
    with pytest.raises(ConfigurationError, match="excludes"):
        open_store(f"{scheme}://h?ca={files.ca}", ssl_context=context)
    with pytest.raises(ConfigurationError, match="ssl_context"):
        open_store(f"{scheme.removesuffix('s')}://h", ssl_context=context)


def test_the_protocol_follows_from_the_log_in() -> None:
    """SASL, which most servers with a password have, exists in the binary protocol alone."""
    for url, protocol in (
        ("memcached://h", "meta"),
        (f"memcached://u:{SECRET}@h", "binary"),
        (f"memcached://u:{SECRET}@h?protocol=meta", "meta"),
        ("memcached://h?protocol=binary", "binary"),
    ):
        store = open_store(url)
        assert f" {protocol} " in repr(store)
        store.close()
    store = open_store("memcached://h", credentials=lambda: ("u", SECRET))
    assert " binary " in repr(store)


@BOTH_TLS
def test_tls_files(tmp_path: Path, scheme: str) -> None:
    files = Certificates.make(tmp_path)
    open_store(f"{scheme}://h?ca={files.ca}&cert={files.client}&key={files.client_key}").close()
    with pytest.raises(ConfigurationError, match=f"{scheme}: .*needs cert="):
        open_store(f"{scheme}://h?ca={files.ca}&key={files.client_key}")
    with pytest.raises(ConfigurationError, match=f"{scheme}: .*do not load"):
        open_store(f"{scheme}://h?ca={files.client_key}")
    with pytest.raises(ConfigurationError, match=f"{scheme}: .*do not load"):
        open_store(f"{scheme}://h?cert={files.client}&key={files.server_key}")


@pytest.mark.parametrize(
    ("url", "library", "extra"),
    [
        ("redis://h", "redis", "redis"),
        ("redis://h", "hiredis", "redis"),
        ("sqlite:///s.db", "sqlalchemy", "sql"),
        ("postgresql+psycopg://h/db", "psycopg", "sql"),
    ],
)
def test_without_its_library_the_extra_is_named(
    url: str, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(library, monkeypatch)
    with pytest.raises(MissingExtra, match=rf"pip install 'sessionstore\[{extra}\]'"):
        open_store(url)


def test_a_broken_library_is_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    without("redis", monkeypatch, culprit="typing_extensions")
    with pytest.raises(ModuleNotFoundError) as caught:
        open_store("redis://h")
    assert not isinstance(caught.value, MissingExtra)


def without(library: str, monkeypatch: pytest.MonkeyPatch, culprit: str | None = None) -> None:
    """Make a library's import fail."""
    monkeypatch.delitem(sys.modules, library, raising=False)

    class Finder:
        def find_spec(self, name: str, *_: Any) -> None:
            if name == library:
                missing = culprit or library
                raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)

    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])


def test_every_scheme_can_be_opened() -> None:
    """The table names functions as text, so a typo in it would be found only by a user."""
    samples = {
        "memory": "memory://",
        "redis": "redis://h",
        "rediss": "rediss://h",
        "redis+unix": "redis+unix:///s",
        "redis+sentinel": "redis+sentinel://h/mymaster",
        "rediss+sentinel": "rediss+sentinel://h/mymaster",
        "redis+cluster": "redis+cluster://h",
        "rediss+cluster": "rediss+cluster://h",
        "memcached": "memcached://h",
        "memcacheds": "memcacheds://h",
        "memcached+unix": "memcached+unix:///s",
        "memcached+discover": "memcached+discover://h",
        "memcacheds+discover": "memcacheds+discover://h",
        "sqlite": "sqlite:///s.db",
        "postgresql": "postgresql://h/db",
        "postgresql+psycopg": "postgresql+psycopg://h/db",
    }
    assert set(samples) == set(SCHEMES)
    for url in samples.values():
        open_store(url).close()
