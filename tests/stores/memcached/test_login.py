"""Logging in: never silent, never sent to who has not asked, and never a time-out where a word from
the server can be had."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from sessionstore.core.errors import (
    OutcomeUnknown,
    StoreError,
    StoreRefused,
    StoreUnavailable,
)
from sessionstore.core.flow import run
from sessionstore.core.verbs import Exists
from sessionstore.stores.memcached.login import DEFAULT_ITEM_SIZE, Greeting
from sessionstore.stores.memcached.messages import Outcome, Reply
from sessionstore.testing.driving import value
from tests.stores.carrying import BOTH, Stopwatch
from tests.stores.memcached.conftest import PROTOCOLS, READY, Bystander, MakeRunner, Runner
from tests.support.memcached_servers import (
    ASCII_PASSWORD,
    SASL_PASSWORD,
    USER,
    MemcachedServer,
    run_memcached_ascii,
    run_memcached_tcp,
)
from tests.support.scripted_memcached import Asked, ScriptedMemcached

SECRET = "xyzzy-password"


@pytest.fixture(params=["ascii", "sasl"])
def asking(request: pytest.FixtureRequest) -> MemcachedServer:
    """A server that asks for a password, of either kind."""
    server: MemcachedServer = request.getfixturevalue(f"memcached_{request.param}_server")
    return server


def with_login(server: MemcachedServer, user: str, password: str) -> str:
    """The server's URL with another log-in."""
    rest = server.url.partition("@")[2]
    return f"memcached+unix://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"


def writes(run: Runner) -> None:
    """A write: when the log-in fails it was not sent, so its outcome is known."""
    assert run(run.store.create(run.store.key("h"), value(1), 60)) != Exists()


def refused(run: Runner, match: str, seconds: float = 2) -> None:
    with Stopwatch(seconds), pytest.raises(StoreRefused, match=match) as caught:
        writes(run)
    assert not isinstance(caught.value, OutcomeUnknown)


@BOTH
def test_the_password_of_the_url(asking: MemcachedServer, running: MakeRunner, how: str) -> None:
    writes(running(asking.url, how, timeout=READY))


@BOTH
@pytest.mark.parametrize(
    ("user", "password"),
    [(USER, "wrong"), ("nobody", ASCII_PASSWORD)],
)
def test_a_wrong_password(
    asking: MemcachedServer, running: MakeRunner, how: str, user: str, password: str
) -> None:
    run = running(with_login(asking, user, password), how, timeout=READY)
    refused(run, "user name or password refused")


@BOTH
def test_no_password(asking: MemcachedServer, running: MakeRunner, how: str) -> None:
    protocol = "meta" if "protocol=meta" in asking.url else "binary"
    url = f"memcached+unix://{asking.socket}?protocol={protocol}"
    refused(running(url, how, timeout=READY), "wants a user name and password")


@BOTH
@PROTOCOLS
def test_a_password_that_nobody_asked_for_is_an_error_and_is_not_sent(
    memcached_server: MemcachedServer,
    running: MakeRunner,
    between: Bystander,
    how: str,
    protocol: str,
) -> None:
    """Somebody believes that this server is protected. In the text protocol, the log-in would
    store the password as an item that everybody can read."""
    proxy = between(memcached_server)
    url = f"memcached://user:{SECRET}@{proxy.address}?protocol={protocol}"
    refused(running(url, how, timeout=READY), "does not ask for any.*auth_optional=1")
    writes(running(f"{url}&auth_optional=1", how, timeout=READY))
    assert proxy.requests
    assert SECRET.encode() not in b"".join(proxy.requests)


@BOTH
def test_an_optional_password_is_used_where_it_is_asked_for(
    asking: MemcachedServer, running: MakeRunner, how: str
) -> None:
    joint = "&" if "?" in asking.url else "?"
    writes(running(f"{asking.url}{joint}auth_optional=1", how, timeout=READY))
    wrong = with_login(asking, USER, "wrong")
    joint = "&" if "?" in wrong else "?"
    refused(running(f"{wrong}{joint}auth_optional=1", how, timeout=READY), "refused")


# -- the other protocol --


@BOTH
def test_a_text_server_behind_the_binary_protocol(running: MakeRunner, how: str) -> None:
    with run_memcached_tcp("-B", "ascii") as server:
        run = running(f"{server.url}?protocol=binary", how, timeout=READY)
        refused(run, "not Memcached's binary protocol")


@BOTH
def test_sasl_against_ascii_authentication(
    memcached_ascii_server: MemcachedServer, running: MakeRunner, how: str
) -> None:
    """Credentials mean SASL unless the URL says otherwise: the error says what it might say."""
    url = memcached_ascii_server.url.partition("?")[0]
    refused(running(url, how, timeout=READY), "not Memcached's binary protocol.*protocol=meta")


@BOTH
@pytest.mark.parametrize("login", ["", f"{USER}:{SECRET}@"])
def test_the_meta_protocol_against_sasl(
    memcached_sasl_server: MemcachedServer, running: MakeRunner, how: str, login: str
) -> None:
    """It hangs up without a word, as others do who are not well: so it is tried again, till the
    deadline. Without a greeting that is longer than a binary header it would be silent."""
    url = f"memcached+unix://{login}{memcached_sasl_server.socket}?protocol=meta"
    run = running(url, how, timeout=0.5)
    why = "closed the connection|connection was lost"
    with Stopwatch(0.5), pytest.raises(StoreUnavailable, match=f"({why}).*SASL"):
        writes(run)


@BOTH
def test_a_server_that_is_too_old_for_meta(running: MakeRunner, how: str) -> None:
    with ScriptedMemcached("meta", b"ERROR\r\n", greeting=False) as server:
        refused(running(server.url(), how), "has from 1.6 on", 0.5)


# -- what servers may answer --


def sasl(
    server: ScriptedMemcached,
    *,
    mechanisms: bytes = b"CRAM PLAIN",
    auth: Any = 0,
    step: Any = 0,
) -> Any:
    """Answers as a SASL server; an int is a status, bytes are sent as they are."""

    def answer(asked: Asked) -> bytes:
        if asked.name == "mechanisms":
            return server.packet(asked, 0, mechanisms)
        reply = {"auth": auth, "step": step}.get(asked.name, 0)
        return reply if isinstance(reply, bytes) else server.packet(asked, reply)

    return answer


@BOTH
def test_what_sasl_sends(running: MakeRunner, how: str) -> None:
    with ScriptedMemcached("binary", b"") as server:
        server.answer = sasl(server)
        run = running(server.url(f"user:{SECRET}"), how)
        with pytest.raises(OutcomeUnknown):  # the scripted server says nonsense to an add
            writes(run)
        first, second = server.requests[:2]
        assert first.name == "mechanisms"
        plain = b"\0user\0" + SECRET.encode()
        assert second == Asked("auth", b"PLAIN", plain, second.opaque)


@BOTH
def test_a_challenge_is_answered_once(running: MakeRunner, how: str) -> None:
    with ScriptedMemcached("binary", b"") as server:
        server.answer = sasl(server, auth=0x21)
        run = running(server.url(f"user:{SECRET}"), how)
        with pytest.raises(OutcomeUnknown):  # the scripted server says nonsense to an add
            writes(run)
        auth, step = server.requests[1:3]
        assert (step.name, step.key, step.value) == ("step", auth.key, auth.value)
        server.answer = sasl(server, auth=0x21, step=0x21)
        refused(running(server.url(f"user:{SECRET}"), how), "user name or password refused", 0.5)


@BOTH
@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        ({"mechanisms": b"CRAM-MD5 XPLAIN"}, StoreRefused, "no SASL mechanism PLAIN"),
        ({"mechanisms": b""}, StoreRefused, "no SASL mechanism PLAIN"),
        ({"auth": 0x20}, StoreRefused, "user name or password refused"),
        ({"auth": 0x81}, StoreRefused, "does not know"),
        ({"auth": 0x85}, StoreUnavailable, "failed"),
        ({"auth": 0x01}, StoreRefused, "does not belong"),
        ({"auth": b"HTTP/1.1 400\r\n"}, StoreRefused, "not Memcached's binary protocol"),
        ({"auth": b""}, StoreUnavailable, "no reply|timed out"),
        ({"auth": b"\x81\x21"}, StoreUnavailable, "no whole reply|no reply|timed out"),
    ],
)
def test_a_sasl_exchange_that_fails(
    running: MakeRunner, how: str, reply: dict[str, Any], kind: type[StoreError], message: str
) -> None:
    with ScriptedMemcached("binary", b"") as server:
        server.answer = sasl(server, **reply)
        run = running(server.url(f"user:{SECRET}"), how, timeout=0.5)
        with Stopwatch(0.5), pytest.raises(kind, match=message) as caught:
            writes(run)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert "add" not in {asked.name for asked in server.requests}
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@BOTH
@pytest.mark.parametrize(
    ("reply", "kind", "message"),
    [
        (b"CLIENT_ERROR authentication failure\r\n", StoreRefused, "password refused"),
        (b"CLIENT_ERROR bad authentication token format\r\n", StoreRefused, "password refused"),
        (b"CLIENT_ERROR other\r\n", StoreRefused, "does not understand"),
        (b"SERVER_ERROR other\r\n", StoreUnavailable, "failed"),
        (b"EN\r\n", StoreRefused, "does not belong"),
        (b"HTTP/1.1 400\r\n", StoreRefused, "not Memcached's text protocol"),
        (b"", StoreUnavailable, "no reply|timed out"),
        (b"STOR", StoreUnavailable, "no whole reply|no reply|timed out"),
        (None, StoreUnavailable, "closed|lost"),
    ],
)
def test_an_ascii_log_in_that_fails(
    running: MakeRunner, how: str, reply: bytes | None, kind: type[StoreError], message: str
) -> None:
    with ScriptedMemcached("meta", b"", greeting=False) as server:
        server.answer = lambda asked: (
            reply if asked.name == "auth" else b"CLIENT_ERROR unauthenticated\r\n"
        )
        run = running(server.url(f"user:{SECRET}"), how, timeout=0.5)
        with Stopwatch(0.5), pytest.raises(kind, match=message) as caught:
            writes(run)
        assert not isinstance(caught.value, OutcomeUnknown)
        assert server.requests[1][:3] == ("auth", b"sessionstore", f"user {SECRET}".encode())
    assert SECRET not in "".join(traceback.format_exception(caught.value))


@BOTH
@pytest.mark.parametrize(
    ("protocol", "user", "password", "message"),
    [
        ("meta", "a b", "x", "takes no space"),
        ("meta", "a", "x y", "takes no space"),
        ("meta", "a", "x\r\nflush_all", "takes no space"),
        ("binary", "a", "x\0y", "takes no NUL"),
        ("meta", None, "x", "needs a user name"),
        ("binary", None, "x", "needs a user name"),
    ],
)
def test_a_log_in_that_the_protocol_cannot_say(
    running: MakeRunner, how: str, protocol: str, user: str | None, password: str, message: str
) -> None:
    with ScriptedMemcached(protocol, b"", greeting=False) as server:
        if protocol == "binary":
            server.answer = sasl(server)
        else:
            server.answer = lambda asked: b"CLIENT_ERROR unauthenticated\r\n"
        run = running(server.url(), how, credentials=lambda: (user, password))
        refused(run, message, 0.5)
        assert "auth" not in {asked.name for asked in server.requests}


# -- credentials that change --


@BOTH
def test_the_provider_is_asked_at_every_connect(
    asking: MemcachedServer, running: MakeRunner, how: str
) -> None:
    password = ASCII_PASSWORD if "protocol=meta" in asking.url else SASL_PASSWORD
    asked: list[None] = []

    def provider() -> tuple[str, str]:
        asked.append(None)
        return USER, password

    url = f"memcached+unix://{asking.url.partition('@')[2]}"
    for _ in range(2):
        run = running(url, how, credentials=provider, timeout=READY)
        run(run.store.load(run.store.key("h")))
        run(run.store.load(run.store.key("h")))
    assert len(asked) == 2


@BOTH
def test_a_password_exchanged_between_asking_and_telling(
    asking: MemcachedServer, running: MakeRunner, how: str
) -> None:
    right = ASCII_PASSWORD if "protocol=meta" in asking.url else SASL_PASSWORD
    answers = iter(["just-replaced", right])
    url = f"memcached+unix://{asking.url.partition('@')[2]}"
    writes(running(url, how, credentials=lambda: (USER, next(answers)), timeout=READY))


@BOTH
@pytest.mark.parametrize("changing", [True, False])
def test_a_wrong_password_is_refused_after_one_more_look(
    asking: MemcachedServer, running: MakeRunner, how: str, changing: bool
) -> None:
    asked: list[None] = []

    def provider() -> tuple[str, str]:
        asked.append(None)
        return USER, f"wrong-{len(asked) if changing else 0}"

    url = f"memcached+unix://{asking.url.partition('@')[2]}"
    refused(running(url, how, credentials=provider, timeout=READY), "password refused")
    assert len(asked) == 2


@BOTH
def test_a_password_from_a_file_may_change(running: MakeRunner, how: str, tmp_path: Path) -> None:
    """Connections that are open stay logged in, at the server too; new ones use the new one."""
    secret = tmp_path / "password"
    with run_memcached_ascii() as server:
        secret.write_text(ASCII_PASSWORD)
        url = f"memcached+unix://{USER}@{server.socket}?protocol=meta"
        run = running(f"{url}&auth=file&password_file={secret}", how, timeout=READY)
        run(run.store.load(run.store.key("h")))
        server.files["users"].write_text(f"{USER}:another\n")
        server.child.process.send_signal(1)  # SIGHUP: it reads the file again
        new = running(f"memcached+unix://{USER}:another@{server.socket}?protocol=meta", "sync")
        server.child.wait_until(lambda: logs_in(new))
        run(run.store.load(run.store.key("h")))
        secret.write_text("another")
        again = running(f"{url}&auth=file&password_file={secret}", how, timeout=READY)
        writes(again)


def logs_in(run: Runner) -> bool:
    try:
        run(run.store.load(run.store.key("h")), READY)
    except StoreRefused:
        return False
    return True


@BOTH
@pytest.mark.parametrize("kind", ["url", "provider", "file", "env"])
def test_no_password_in_an_error_or_its_traceback(
    asking: MemcachedServer,
    running: MakeRunner,
    how: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Not even in one that shows local variables, as error trackers do."""
    (tmp_path / "password").write_text(SECRET)
    monkeypatch.setenv("MEMCACHED_PASSWORD", SECRET)
    caplog.set_level("DEBUG")
    run = told_wrong(asking, running, how, kind, tmp_path)
    with pytest.raises(StoreRefused) as caught:
        writes(run)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    text = "".join(shown.format())
    assert "user name or password refused" in text
    assert SECRET not in text + caplog.text + repr(run.store) + repr(vars(run.store))


def told_wrong(
    server: MemcachedServer, running: MakeRunner, how: str, kind: str, directory: Path
) -> Runner:
    """A runner with SECRET for a password. Not in the test, whose variables are shown as well."""
    protocol = "meta" if "protocol=meta" in server.url else "binary"
    rest = f"{server.socket}?protocol={protocol}"
    file = f"password_file={directory}/password"
    url, options = {
        "url": (f"memcached+unix://app:{SECRET}@{rest}", {}),
        "provider": (f"memcached+unix://{rest}", {"credentials": lambda: ("app", SECRET)}),
        "file": (f"memcached+unix://app@{rest}&auth=file&{file}", {}),
        "env": (f"memcached+unix://app@{rest}&auth=env&password_env=MEMCACHED_PASSWORD", {}),
    }[kind]
    return running(url, how, timeout=READY, **options)


@BOTH
@PROTOCOLS
def test_no_password_in_a_time_outs_traceback(running: MakeRunner, how: str, protocol: str) -> None:
    """The frames in which the log-in was sent are not shown."""
    with ScriptedMemcached(protocol, b"", greeting=False) as server:

        def answer(asked: Asked) -> bytes:
            if protocol == "binary":
                return server.packet(asked, 0, b"PLAIN") if asked.name == "mechanisms" else b""
            return b"" if asked.name == "auth" else b"CLIENT_ERROR unauthenticated\r\n"

        server.answer = answer
        run = running(server.url(f"user:{SECRET}"), how, timeout=0.3)
        with Stopwatch(0.3), pytest.raises(StoreUnavailable) as caught:
            writes(run)
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert SECRET not in "".join(shown.format())


@pytest.mark.parametrize("size", ["", "many", "-1", "9" * 5000])
def test_an_item_size_that_is_none(size: str) -> None:
    """Python reads no number of more than 4,300 digits, and a line may have 8,192 bytes."""
    replies = [Reply(Outcome.MISSING), Reply(Outcome.OK, stats={"item_size_max": size})]
    greeting = Greeting("meta", None, optional=False, node="node")
    assert run(greeting.flow(), lambda command: replies.pop(0)) == DEFAULT_ITEM_SIZE
