"""What is said about which facts: no server, and no store."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sessionstore.cli.diagnosis import JUDGES, Severity, diagnose
from sessionstore.cli.diagnosis.access import foreign_keys, is_local, too_many_commands
from sessionstore.stores.facts import (
    Facts,
    Link,
    MemcachedFacts,
    MemoryFacts,
    Permissions,
    RedisFacts,
    RedisUser,
    SqlFacts,
)

OK, UNKNOWN, NOTE, WARNING, ERROR = Severity
USER = RedisUser("app", frozenset({"on"}), (Permissions(("-@all", "+get"), ("~session:s:*",)),))
GOOD = RedisFacts(
    server="redis 7.2.4",
    link=Link("tls", "redis.example"),
    prefix="session",
    eviction="noeviction",
    evicted=0,
    maxmemory=100 * 2**20,
    used=20 * 2**20,
    session_bytes=1024,
    sampled=50,
    aof=True,
    fsync="always",
    snapshots="3600 1",
    save_failed="",
    role="master",
    replicas=1,
    user=USER,
)
DATABASE = SqlFacts(
    server="PostgreSQL 17",
    link=Link("tls", "db.example"),
    expired=0,
    superuser=False,
    standby=False,
)
FILE = SqlFacts(server="SQLite 3", journal="wal", expired=0)
DAY = 86_400.0


def verdict(facts: Facts, name: str) -> tuple[Severity, str]:
    (found,) = [finding for finding in diagnose(facts) if finding.id == name]
    assert (found.severity > OK) == bool(found.to_do), "what is wrong has a remedy"
    return found.severity, f"{found.what} {found.to_do}"


def test_a_server_as_it_should_be() -> None:
    findings = diagnose(GOOD)
    assert {finding.severity for finding in findings} == {OK}
    assert [finding.id for finding in findings] == [
        *("version", "eviction", "memory", "persistence", "replicas"),
        *("transport", "user", "permissions"),
    ]


@pytest.mark.parametrize(
    ("change", "name", "severity", "words"),
    [
        ({"eviction": "allkeys-lru"}, "eviction", ERROR, "is allkeys-lru: when memory is full, it"),
        # It evicts what has an expiry, and every session has one.
        ({"eviction": "volatile-lru"}, "eviction", ERROR, "logs users out at will"),
        ({"eviction": "allkeys-lru", "maxmemory": 0}, "eviction", WARNING, "as soon as maxmemory"),
        ({"eviction": "allkeys-lru", "maxmemory": None}, "eviction", ERROR, "when memory is full"),
        ({"eviction": "volatile-ttl", "evicted": 1234}, "eviction", ERROR, "evicted 1,234 keys"),
        ({"maxmemory": 0}, "memory", NOTE, "grows until the system kills it. A session takes"),
        ({}, "memory", OK, "80 MiB of 100 MiB are free (80%): room for 81,920 more sessions"),
        ({}, "memory", OK, "A session takes 1,024 bytes (the mean of 50)"),
        ({"sampled": 0}, "memory", OK, "(a probe, as there are none)"),
        ({"used": 91 * 2**20}, "memory", WARNING, "room for 9,216 more sessions"),
        ({"used": 101 * 2**20}, "memory", ERROR, "0 B of 100 MiB are free (0%)"),
        ({"session_bytes": None}, "memory", OK, "80 MiB of 100 MiB are free (80%)."),
        ({"fsync": "everysec"}, "persistence", NOTE, "a power cut loses a second"),
        ({"fsync": "no"}, "persistence", WARNING, "the system decides"),
        ({"fsync": None}, "persistence", OK, "unseen"),
        ({"aof": False}, "persistence", WARNING, "Snapshots only (save 3600 1)"),
        ({"aof": False, "snapshots": ""}, "persistence", WARNING, "a restart logs everybody out"),
        ({"aof": False, "snapshots": None}, "persistence", WARNING, "cannot be seen"),
        ({"save_failed": "RDB"}, "disk", ERROR, "(RDB) failed"),
        ({"role": "slave"}, "role", ERROR, "is a replica"),
        ({"replicas": 0}, "replicas", WARNING, "No replica"),
        ({"replicas": 2}, "replicas", OK, "2 replicas connected"),
        ({"server": "redis 7.0.15"}, "version", OK, "it lacks WAITAOF"),
        ({"server": "redis 5.0.14"}, "version", WARNING, "older than 6.0"),
        ({"server": "redis 6.0.16"}, "version", OK, "it lacks ACL rules"),
        ({"server": "redis 8.2.1"}, "version", OK, "has all that sessions need."),
        ({"server": "valkey 9.1.2"}, "version", OK, "has all that sessions need."),
        ({"link": Link("tcp", "10.0.0.7")}, "transport", WARNING, "Plain text to 10.0.0.7"),
        ({"link": Link("tcp", "localhost")}, "transport", OK, "does not leave this machine"),
        ({"link": Link("unix")}, "transport", OK, "does not leave this machine"),
        ({"user": RedisUser("default")}, "user", WARNING, "ACL SETUSER app"),
        (
            {"user": RedisUser("default", frozenset({"nopass"}))},
            "user",
            ERROR,
            "without a password",
        ),
        (
            {"user": RedisUser("default", frozenset({"nopass"})), "link": Link("unix")},
            "user",
            WARNING,
            "without a password",
        ),
        (
            {"user": RedisUser("app", frozenset(), (Permissions(("+@all",), ("~*",)),))},
            "permissions",
            WARNING,
            "run +@all and use the keys ~*",
        ),
        (
            {
                "user": RedisUser(
                    "app", frozenset(), (*USER.permissions, Permissions(("+flushall",), ()))
                )
            },
            "permissions",
            WARNING,
            "more than sessions need: run +flushall.",
        ),
        ({"refused": ("INFO", "CONFIG GET")}, "not-allowed", UNKNOWN, "look: INFO, CONFIG GET."),
    ],
)
def test_redis(change: dict[str, Any], name: str, severity: Severity, words: str) -> None:
    found, text = verdict(replace(GOOD, **change), name)
    assert found == severity, text
    assert words in text


def test_the_worst_comes_first() -> None:
    facts = replace(GOOD, replicas=0, role="slave", aof=False, refused=("INFO",))
    severities = [finding.severity for finding in diagnose(facts)]
    assert severities == sorted(severities, reverse=True)
    assert severities[0] == ERROR


def test_what_could_not_be_looked_at_is_not_judged() -> None:
    blind = RedisFacts(link=Link("tls", "redis.example"), refused=("HELLO", "INFO"))
    assert {finding.id: finding.severity for finding in diagnose(blind)} == {
        "transport": OK,
        "not-allowed": UNKNOWN,
    }


def test_a_user_whose_rules_are_unknown_is_not_judged_by_them() -> None:
    facts = replace(GOOD, user=RedisUser("app"))
    assert "permissions" not in {finding.id for finding in diagnose(facts)}


def test_the_recommended_user_has_this_stores_prefix() -> None:
    facts = replace(GOOD, user=RedisUser("default"), prefix="shop")
    assert "~shop:s:*" in verdict(facts, "user")[1]


@pytest.mark.parametrize(
    ("rules", "found"),
    [
        ("+@all", ["+@all"]),
        ("-@all +get +set +del +eval +evalsha", []),
        ("+@all -@all +get", []),
        ("-@all +@read +@write", ["+@read", "+@write"]),
        ("+@all -flushall", ["+@all"]),
        ("-@all +config", ["+config"]),
        ("-@all +config|get +acl|whoami +info +scan +memory|usage", []),
        ("-@all +config|set +client|kill", ["+config|set", "+client|kill"]),
        ("-@all +config -config|set", ["+config"]),
        ("-@all +config|set -config +get", []),
        ("-@all +FLUSHALL", ["+FLUSHALL"]),
    ],
)
def test_which_commands_are_too_many(rules: str, found: list[str]) -> None:
    assert too_many_commands(Permissions(tuple(rules.split()))) == found


@pytest.mark.parametrize(
    ("keys", "found"),
    [
        ("~session:s:*", []),
        ("~session:*", []),
        ("%R~session:s:*", []),
        ("~*", ["~*"]),
        ("~sess*", ["~sess*"]),
        ("~session*", ["~session*"]),
        ("~other:*", ["~other:*"]),
        ("%RW~session:* %R~*", ["%R~*"]),
        ("~[s]ession:*", ["~[s]ession:*"]),
    ],
)
def test_which_keys_are_foreign(keys: str, found: list[str]) -> None:
    assert foreign_keys(Permissions((), tuple(keys.split())), "session") == found


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("LOCALHOST.", True),
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("10.0.0.1", False),
        ("::2", False),
        ("redis", False),
        ("localhost.example", False),
    ],
)
def test_what_is_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local


CACHE = MemcachedFacts(
    server="memcached 1.6.18",
    link=Link("tls", "cache.example"),
    logged_in=True,
    asks="SASL",
    evicts=True,
    evicted=0,
    maxmemory=100 * 2**20,
    used=20 * 2**20,
    session_bytes=1024,
    sampled=20480,
    item_size=2**20,
    turned_away=0,
    flushable=True,
    uptime=90_000,
    hits=98,
    misses=2,
)


def test_a_memcached_server_as_it_should_be() -> None:
    assert {finding.id: finding.severity for finding in diagnose(CACHE)} == {
        "version": OK,
        "eviction": OK,
        "memory": OK,
        "hit-rate": OK,
        "item-size": OK,
        "persistence": NOTE,  # it is its nature
        "transport": OK,
        "user": OK,
    }


@pytest.mark.parametrize(
    ("change", "name", "severity", "words"),
    [
        ({"evicted": 1234}, "eviction", ERROR, "evicted 1,234 items in 1 day, 1:00:00"),
        ({"evicted": 1, "uptime": None}, "eviction", ERROR, "evicted 1 items: each"),
        ({"evicts": False}, "eviction", WARNING, "deletes the one that was to be replaced"),
        ({}, "memory", OK, "80 MiB of 100 MiB are free (80%): room for 81,920 more sessions"),
        ({}, "memory", OK, "An item takes 1,024 bytes (the mean of 20,480)"),
        ({"sampled": 0}, "memory", OK, "(a probe, as there are none)"),
        ({"used": 95 * 2**20}, "memory", WARNING, "A full server logs users out"),
        ({"session_bytes": None}, "memory", OK, "(80%)."),
        ({"hits": 999, "misses": 1}, "hit-rate", OK, "99.9% of 1,000 loads have found"),
        ({"item_size": 128 * 1024}, "item-size", WARNING, "Raise -I, or lower max_size"),
        ({"uptime": 3 * 86_400}, "persistence", NOTE, "has been up for 3 days"),
        ({"uptime": 10**19}, "persistence", NOTE, "has been up for 115740740740740 days"),
        ({"turned_away": 7}, "connections", WARNING, "turned away 7 connections"),
        ({"server": "memcached 1.5.6"}, "version", WARNING, "older than 1.6"),
        ({"link": Link("tcp", "10.0.0.7")}, "transport", WARNING, "memcacheds://"),
        ({"asks": "-Y"}, "user", OK, "asks for a user name and password (-Y)"),
        ({"asks": ""}, "user", ERROR, "(flush_all). The password in the URL is not used."),
        ({"asks": "", "logged_in": False}, "user", ERROR, "(flush_all). Start it with"),
        ({"asks": "", "link": Link("unix")}, "user", WARNING, "asks for no password"),
        ({"asks": "", "link": Link("tcp", "::1")}, "user", WARNING, "asks for no password"),
        ({"refused": ("stats",)}, "not-allowed", UNKNOWN, "look: stats."),
    ],
)
def test_memcached(change: dict[str, Any], name: str, severity: Severity, words: str) -> None:
    found, text = verdict(replace(CACHE, **change), name)
    assert found == severity, text
    assert words in text


def test_a_memcached_server_that_tells_nothing() -> None:
    facts = MemcachedFacts(link=Link("tls", "cache.example"), refused=("stats", "stats slabs"))
    assert {finding.id: finding.severity for finding in diagnose(facts)} == {
        "persistence": NOTE,
        "transport": OK,
        "not-allowed": UNKNOWN,
    }


@pytest.mark.parametrize(
    ("facts", "name", "severity", "words"),
    [
        (FILE, "purge", OK, "No expired row"),
        (replace(FILE, expired=1, oldest=60), "purge", OK, "1 expired row waits"),
        (replace(FILE, expired=5, oldest=DAY), "purge", OK, "5 expired rows wait"),
        (replace(FILE, expired=5, oldest=3 * DAY), "purge", WARNING, "oldest for 3 days"),
        (
            replace(FILE, expired=100_000, oldest=3 * DAY),
            "purge",
            WARNING,
            "100,000 or more",
        ),
        (FILE, "journal", OK, "write-ahead log"),
        (replace(FILE, journal="delete"), "journal", WARNING, "'delete'"),
        (FILE, "one-machine", NOTE, "A file on this machine"),
        (DATABASE, "transport", OK, "TLS, with chain and host name verified"),
        (
            replace(DATABASE, link=Link("tls", "db", verified=False)),
            "transport",
            WARNING,
            "nobody verifies",
        ),
        (replace(DATABASE, link=Link("tcp", "db")), "transport", WARNING, "?ca=FILE"),
        (replace(DATABASE, standby=True), "role", ERROR, "standby"),
        (replace(DATABASE, superuser=True), "user", WARNING, "superuser"),
        (DATABASE, "user", OK, "no superuser"),
        (MemoryFacts(), "one-process", WARNING, "no other process"),
        (Facts(), "unknown-kind", UNKNOWN, "Nothing is known"),
    ],
)
def test_other_stores(facts: Facts, name: str, severity: Severity, words: str) -> None:
    found, text = verdict(facts, name)
    assert found == severity, text
    assert words in text


def test_every_kind_of_facts_has_its_judge() -> None:
    assert set(JUDGES) == set(Facts.__subclasses__())
