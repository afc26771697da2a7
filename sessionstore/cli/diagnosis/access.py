"""How a server is reached, as whom, and what that user may do."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import Final

from sessionstore.cli.diagnosis.finding import Finding, Severity
from sessionstore.stores.facts import Link, Permissions, RedisFacts, RedisUser

ACL: Final = (
    "ACL SETUSER app on >SECRET resetkeys ~{prefix}:s:* nocommands +get +set +del +eval +evalsha"
)
"""The user that docs/reference/stores.md recommends."""
HARMFUL: Final = frozenset(
    (
        *("acl", "bgrewriteaof", "bgsave", "client", "cluster", "config", "debug", "failover"),
        *("flushall", "flushdb", "keys", "migrate", "module", "monitor", "psync", "replicaof"),
        *("restore", "save", "shutdown", "slaveof", "sort", "swapdb", "sync"),
    )
)
"""Commands that reach beyond a session: into the server's settings, or other keys."""
HARMLESS: Final = frozenset(
    (
        *("acl|getuser", "acl|whoami", "client|getname", "client|id", "client|setinfo"),
        *("client|setname", "cluster|info", "cluster|myid", "cluster|nodes", "cluster|shards"),
        *("cluster|slots", "config|get"),
    )
)
"""Those of their subcommands that only look, or concern only one's own connection."""


def is_local(host: str) -> bool:
    """Whether a host is this machine, as far as its name tells.

    >>> is_local("localhost"), is_local("127.0.0.2"), is_local("::1"), is_local("10.0.0.1")
    (True, True, True, False)
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def judge_link(link: Link, tls: str) -> Finding:
    """Whether others in the network can read and change what goes over the wire.

    :param tls: how to switch it on
    """
    if link.kind == "tls":
        if link.verified:
            return Finding("transport", Severity.OK, "TLS, with chain and host name verified.")
        return Finding(
            "transport",
            Severity.WARNING,
            "TLS, but nobody verifies whose certificate it is: whoever is in between can pose as"
            " the server.",
            tls,
        )
    if link.kind == "unix" or is_local(link.host):
        return Finding("transport", Severity.OK, "The connection does not leave this machine.")
    return Finding(
        "transport",
        Severity.WARNING,
        f"Plain text to {link.host}: whoever is in between reads sessions and the password, and"
        " may end sessions.",
        tls,
    )


def judge_user(facts: RedisFacts) -> list[Finding]:
    """Who we are there, and whether that is too much."""
    user = facts.user
    if user is None:
        return []
    findings = []
    recipe = ACL.format(prefix=facts.prefix)
    if user.name == "default":
        findings.append(_default_user(facts, user, recipe))
    else:
        findings.append(Finding("user", Severity.OK, f"A user of its own: {user.name}."))
    # The default user's are said above, and the remedy is the same.
    if user.permissions and user.name != "default":
        findings.append(_permissions(facts, user, recipe))
    return findings


def _default_user(facts: RedisFacts, user: RedisUser, recipe: str) -> Finding:
    if user.flags is not None and "nopass" in user.flags:
        local = facts.link.kind == "unix" or is_local(facts.link.host)
        return Finding(
            "user",
            Severity.WARNING if local else Severity.ERROR,
            "The default user, without a password: whoever reaches the server may do anything"
            " to every session.",
            f"Give the application a user of its own ({recipe}), and switch the default user"
            " off (ACL SETUSER default off) or give it a password.",
        )
    return Finding(
        "user",
        Severity.WARNING,
        "The default user, which every client of this server shares.",
        f"Give the application a user of its own: {recipe}",
    )


def _permissions(facts: RedisFacts, user: RedisUser, recipe: str) -> Finding:
    commands = sorted({name for one in user.permissions for name in too_many_commands(one)})
    keys = sorted({key for one in user.permissions for key in foreign_keys(one, facts.prefix)})
    if not commands and not keys:
        return Finding("permissions", Severity.OK, "It may do nothing beyond sessions.")
    parts = []
    if commands:
        parts.append(f"run {', '.join(commands)}")
    if keys:
        parts.append(f"use the keys {', '.join(keys)}")
    return Finding(
        "permissions",
        Severity.WARNING,
        f"Its user may do more than sessions need: {' and '.join(parts)}.",
        f"Allow what sessions need: {recipe}",
    )


def too_many_commands(permissions: Permissions) -> list[str]:
    """What these rules grant beside single harmless commands, as the rules write it.

    >>> too_many_commands(Permissions(("-@all", "+@read", "+get", "+config", "-config")))
    ['+@read']
    """
    granted: dict[str, str] = {}
    for rule in permissions.commands:
        name = rule[1:].lower()
        if rule.startswith("-"):
            # A category that is taken away leaves others that may overlap: only "all" is sure.
            granted = {} if name == "@all" else dict(_without(granted, name))
        elif name.startswith("@") or _is_harmful(name):
            granted[name] = rule
    return list(granted.values())


def _is_harmful(name: str) -> bool:
    return name.partition("|")[0] in HARMFUL and name not in HARMLESS


def _without(granted: dict[str, str], name: str) -> Iterator[tuple[str, str]]:
    return (
        (held, rule)
        for held, rule in granted.items()
        if held != name and held.partition("|")[0] != name
    )


def foreign_keys(permissions: Permissions, prefix: str) -> list[str]:
    """The patterns of these rules that other keys match than this prefix's.

    >>> foreign_keys(Permissions(("+get",), ("~session:s:*", "~sess*", "%R~*")), "session")
    ['~sess*', '%R~*']
    """
    found = []
    for pattern in permissions.keys:
        literal = re.match(r"[^*?\[\\]*", pattern.partition("~")[2])
        if literal is None or not literal[0].startswith(f"{prefix}:"):
            found.append(pattern)
    return found
