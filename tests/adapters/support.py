"""Cookies for sites, and what must come of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from sessionstore.core.token import TokenSigner
from tests.adapters.conftest import Counting
from tests.support.calling import COOKIE, Answer
from tests.support.sites import SECRET, Site, look

DAY = 86400


def signer(secret: str = SECRET) -> TokenSigner:
    return TokenSigner(secret.encode(), absolute_timeout=400 * DAY)


def mint(handle: str = "A" * 16, secret: bytes = b"s" * 32, at: float | None = None) -> str:
    """A token with a good signature, as only the application can make one."""
    return signer().mint(handle, secret, 0, time.time() if at is None else at).text


def is_new(answer: Answer) -> bool:
    """Anonymous: an empty session, and no cookie set or deleted."""
    return (answer.status, answer.result, answer.set_cookies) == (200, {}, [])


def cookie(value: bytes | str) -> bytes:
    return f"{COOKIE}=".encode() + (value.encode() if isinstance(value, str) else value)


def costs_nothing(site: Site, counting: Counting, value: bytes | str) -> None:
    """Whoever sends this is anonymous; if they write, a session of our own begins."""
    with counting() as commands:
        answer = site.request(look, cookie(value))
    assert is_new(answer), (answer.status, answer.error)
    assert commands == {}
    written = site.request(lambda session: session.update({"a": 1}), cookie(value))
    assert written.status == 200
    [set_cookie] = written.set_cookies
    assert "A" * 16 not in set_cookie
    headers = repr(answer.headers + written.headers)
    assert not any(escape in headers for escape in (r"\r", r"\n", r"\x00"))


Make = Callable[[], bytes | str]


def each(**values: Make) -> pytest.MarkDecorator:
    """A test for each of these cookies' values, made when it runs."""
    return pytest.mark.parametrize("make", values.values(), ids=list(values))


@contextmanager
def little_work(seconds: float) -> Iterator[None]:
    """At most so much of this process's own CPU time, which no other process adds to."""
    before = time.process_time()
    yield
    assert time.process_time() - before < seconds
