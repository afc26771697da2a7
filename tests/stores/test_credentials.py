"""Providers of credentials, and what a URL says of them."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from redis.credentials import UsernamePasswordCredentialProvider

from sessionstore.core.errors import ConfigurationError, StoreRefused, StoreUnavailable
from sessionstore.stores import credentials as module
from sessionstore.stores.attempts import Failure
from sessionstore.stores.auth import credentials_from
from sessionstore.stores.credentials import (
    PUT_OFF_SECONDS,
    Credential,
    Credentials,
    from_code,
    from_environment,
    from_files,
)
from sessionstore.stores.location import parse
from sessionstore.stores.url import open_store

SECRET = "s3cr3t"


def fails(error: Exception) -> Any:
    raise error


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(f"{SECRET}\n")
    return path


def by_url(url: str, **options: Any) -> Credential:
    location = parse(url)
    found = credentials_from(location, {**location.query, **options})
    assert found is not None
    return found.ask()


# -- by URL --


def test_none() -> None:
    assert credentials_from(parse("redis://h"), {}) is None


def test_in_the_url() -> None:
    assert by_url(f"redis://app:{SECRET}@h") == Credential("app", SECRET)
    assert by_url(f"redis://:{SECRET}@h") == Credential(None, SECRET)


def test_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", SECRET)
    monkeypatch.setenv("REDIS_USER", "app")
    url = "redis://h?auth=env&password_env=REDIS_PASSWORD"
    assert by_url(url) == Credential(None, SECRET)
    assert by_url(url.replace("//h", "//me@h")) == Credential("me", SECRET)
    assert by_url(f"{url}&username_env=REDIS_USER") == Credential("app", SECRET)


def test_in_a_file(secret: Path) -> None:
    url = f"redis://h?auth=file&password_file={secret}"
    assert by_url(url) == Credential(None, SECRET)
    assert by_url(url.replace("//h", "//me@h")) == Credential("me", SECRET)
    name = secret.with_name("name")
    name.write_text("app")
    assert by_url(f"{url}&username_file={name}") == Credential("app", SECRET)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("redis://h?auth=magic", "there are env, file, iam"),
        ("redis://h?auth=env", "needs password_env="),
        ("redis://h?auth=file", "needs password_file="),
        ("redis://h?auth=env&password_file=x&password_env=y", "does not take password_file="),
        ("redis://h?password_env=y", "'password_env' needs auth=env"),
        ("redis://h?password_file=y", "'password_file' needs auth=file"),
        ("rediss://h?cache=y", "'cache' needs auth=iam"),
        ("redis://:pw@h?auth=env&password_env=y", "a password in the URL excludes"),
        ("redis://a@h?auth=env&password_env=HOME&username_env=y", "given twice"),
        ("redis://h?auth=env&password_env=SESSIONSTORE_NO_SUCH", "SESSIONSTORE_NO_SUCH is not set"),
        ("redis://h?auth=file&password_file=/no/such", "/no/such cannot be read: No such file"),
        ("redis://h?auth=file&password_file=/", "/ cannot be read: Is a directory"),
        ("redis://app@h", "user name without a password"),
        ("redis://h?auth_renew=5", "needs auth= or credentials="),
        ("redis://h?auth=env&password_env=HOME&auth_renew=0", "auth_renew=0"),
        ("redis://h?auth=env&password_env=HOME&auth_renew=inf", "auth_renew=inf"),
        ("redis://u@h?auth=iam", "needs TLS"),
        ("redis://u@h?auth=iam&cache=c&region=eu-west-1", "needs TLS"),
        ("redis+unix:///s?auth=iam", "needs TLS"),
        ("rediss://u@h?auth=iam&region=eu-west-1", "needs cache="),
        ("rediss://u@h?auth=iam&cache=c", "needs region="),
        ("rediss://h?auth=iam&cache=c&region=eu-west-1", "in the URL"),
        ("rediss://u@h?auth=iam&cache=c&region=eu-west-1&serverless=yes", "0 or 1"),
        ("rediss://u@h?auth=iam&cache=c&region=eu-west-1&auth_renew=43200", "at most 39600"),
        ("rediss://u@h?auth=iam&password_env=HOME&cache=c&region=r", "not take password_env="),
        ("sqlite:///s.db?auth=env", "unknown option 'auth'"),
    ],
)
def test_what_does_not_fit_together(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_store(url)


def test_code_and_url_exclude_each_other() -> None:
    for url in (f"redis://:{SECRET}@h", "redis://h?auth=env&password_env=HOME"):
        with pytest.raises(ConfigurationError, match="excludes") as raised:
            open_store(url, credentials=lambda: (None, SECRET))
        assert SECRET not in str(raised.value)


# -- in code --


def test_a_callable() -> None:
    assert from_code(lambda: ("app", SECRET), None).ask() == Credential("app", SECRET)
    made = Credentials(lambda: (None, SECRET))
    assert from_code(made, None) is made


def test_a_provider_of_redis_py() -> None:
    for name in (None, "app"):
        provider = UsernamePasswordCredentialProvider(name, SECRET)
        assert from_code(provider, None).ask() == Credential(name, SECRET)


async def _asynchronous() -> tuple[None, str]:
    return None, SECRET


class _AsynchronousObject:
    async def __call__(self) -> tuple[None, str]:
        return None, SECRET


@pytest.mark.parametrize(
    "provider", ["password", ("user", "password"), _asynchronous, _AsynchronousObject()]
)
def test_what_is_no_provider(provider: object) -> None:
    with pytest.raises(ConfigurationError, match="function"):
        open_store("redis://h", credentials=provider)


@pytest.mark.parametrize(
    "answer", [None, SECRET, (SECRET,), ("a", None), ("a", ""), ("a", SECRET, 1), (1, SECRET)]
)
def test_what_is_no_answer(answer: Any) -> None:
    with pytest.raises(StoreRefused, match="must return") as raised:
        Credentials(lambda: answer).ask()
    assert SECRET not in str(raised.value)


def test_a_password_that_is_not_text() -> None:
    with pytest.raises(StoreRefused, match="UTF-8"):
        Credentials(lambda: (None, "\udcff")).ask()


def test_a_provider_that_fails_is_found_and_not_quoted() -> None:
    with pytest.raises(StoreRefused, match=r"ValueError in test_credentials.py, line") as raised:
        Credentials(lambda: fails(ValueError(SECRET))).ask()
    assert SECRET not in str(raised.value)
    assert raised.value.__suppress_context__


def test_a_provider_whose_network_fails_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="TimeoutError"):
        Credentials(lambda: fails(TimeoutError())).ask()
    mine = StoreRefused("mine")
    with pytest.raises(StoreRefused) as raised:
        Credentials(lambda: fails(mine)).ask()
    assert raised.value is mine


def slow() -> tuple[None, str]:
    time.sleep(0.3)
    return None, SECRET


def test_a_slow_provider_ends_by_the_deadline() -> None:
    began = time.monotonic()
    with pytest.raises(Failure, match="did not come in time"):
        Credentials(slow).ask_by(began + 0.02, "n:1")
    assert time.monotonic() - began < 0.25


async def test_where_no_thread_can_be_started_it_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    asked = Credentials(lambda: (None, SECRET))
    until = time.monotonic() + 10
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(Failure, match="no thread can be started") as raised:
            asked.ask_by(until, "n:1")
        assert not raised.value.silent  # nothing is wrong with the server
        with pytest.raises(Failure, match="no thread can be started") as raised:
            await asked.aask(until, "n:1")
        assert not raised.value.silent


async def test_a_slow_provider_does_not_hold_up_the_event_loop() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.005)
            ticks += 1

    ticking = asyncio.create_task(tick())
    credential = await Credentials(slow).aask(time.monotonic() + 20, "n:1")
    ticking.cancel()
    assert credential == Credential(None, SECRET)
    assert ticks > 5


def test_nothing_shows_the_password() -> None:
    made = from_code(lambda: ("app", SECRET), None)
    credential = made.ask()
    shown = f"{made!r} {credential!r} {made.login(credential)!r}"
    assert SECRET not in shown


# -- files --


def replace(path: Path, text: str) -> None:
    """As whoever writes secrets does it: at once, by renaming."""
    other = path.with_name("new")
    other.write_text(text)
    other.replace(path)


def test_a_file_is_read_again_when_it_has_changed(secret: Path) -> None:
    found = from_files(None, None, str(secret), None)
    replace(secret, "another")
    assert found.ask() == Credential(None, "another")
    # The same length and, perhaps, the same instant.
    replace(secret, "an0ther")
    assert found.ask() == Credential(None, "an0ther")


def test_a_link_that_is_turned_around(tmp_path: Path) -> None:
    """As Kubernetes replaces a mounted secret."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "password").write_text(name)
    data = tmp_path / "data"
    data.symlink_to("one")
    found = from_files(None, None, str(data / "password"), None)
    other = tmp_path / "tmp"
    other.symlink_to("two")
    other.replace(data)
    assert found.ask().password == "two"


@pytest.mark.parametrize("data", [b"", b"\n", b"one\ntwo\n", b"\xff", b"x" * 65537])
def test_a_file_that_is_no_secret(secret: Path, data: bytes) -> None:
    found = from_files(None, None, str(secret), None)
    secret.write_bytes(data)
    with pytest.raises(StoreRefused, match=r"password is not"):
        found.ask()


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_the_line_break_at_its_end_is_not_part_of_it(secret: Path, ending: str) -> None:
    secret.write_bytes(f" {SECRET} {ending}".encode())
    assert from_files(None, None, str(secret), None).ask().password == f" {SECRET} "


# -- when to log in again --


def test_never_for_a_password_in_the_url() -> None:
    found = credentials_from(parse(f"redis://:{SECRET}@h"), {})
    assert found is not None
    assert not found.is_due(found.login(found.ask()), time.monotonic() + 1e9)


def test_after_its_time_and_not_all_at_once() -> None:
    found = from_code(lambda: (None, SECRET), 100.0)
    now = time.monotonic()
    logins = [found.login(found.ask()) for _ in range(50)]
    assert not any(found.is_due(login, now + 89) for login in logins)
    assert all(found.is_due(login, now + 101) for login in logins)
    assert 5 < sum(found.is_due(login, now + 95) for login in logins) < 45


def test_a_new_token_for_one_connection_does_not_make_the_others_due() -> None:
    numbers = iter(range(10))
    found = from_code(lambda: (None, f"token {next(numbers)}"), 100.0)
    first = found.login(found.ask())
    found.ask()
    assert not found.is_due(first, time.monotonic())


def test_when_the_file_has_changed(secret: Path) -> None:
    found = from_files(None, None, str(secret), None)
    login, now = found.login(found.ask()), time.monotonic() + 100
    assert not found.is_due(login, now)
    replace(secret, "another")
    assert not found.is_due(login, now + 0.5), "it is not looked at for every command"
    assert found.is_due(login, now + 1.1)
    assert not found.is_due(found.login(found.ask()), now + 2.2)


def test_a_file_that_has_gone_changes_nothing_for_those_logged_in(secret: Path) -> None:
    found = from_files(None, None, str(secret), None)
    login = found.login(found.ask())
    secret.unlink()
    assert not found.is_due(login, time.monotonic() + 100)


def test_when_the_environment_has_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", SECRET)
    found = from_environment(None, None, "REDIS_PASSWORD", None)
    login = found.login(found.ask())
    monkeypatch.setitem(os.environ, "REDIS_PASSWORD", "another")
    assert found.is_due(login, time.monotonic() + module.WATCH_SECONDS + 1)


def test_what_did_not_work_is_put_off() -> None:
    found = from_code(lambda: (None, SECRET), 1.0)
    login, now = found.login(found.ask()), time.monotonic() + 2
    assert found.is_due(login, now)
    login.put_off(now)
    assert not found.is_due(login, now + PUT_OFF_SECONDS - 1)
    assert found.is_due(login, now + PUT_OFF_SECONDS)
