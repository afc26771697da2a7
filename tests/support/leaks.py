"""Nothing that a site lets out may show a token, a secret or a value: looked for after each test.

Searched is whatever is let out in a test: log records of every logger from DEBUG on (with their
arguments and extras, as a structured log would print them), what is printed, tracebacks, the
``repr`` of sessions, and all of each answer but the session's own ``Set-Cookie``. Left out by
design: what an action returns (that is the application reading its own values), and a
traceback's local variables, which no library can hide. (A warning is an error in these tests, and
so is in a traceback.)

Searched for are the tokens that the sites have issued, and others that came with a good signature;
the sites' keys; and the value of ``sites.MARK``.
"""

from __future__ import annotations

import base64
import logging
import re
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sessionstore.core.token import TOKEN_LENGTH, TokenSigner
from tests.support import sites
from tests.support.calling import Answer
from tests.support.sites import MARK, Site

FOR_EVER = 1e12
"""Seconds: a token too old for the site is no less a secret."""
_TOKEN = re.compile(rb"(?<![A-Za-z0-9_.-])[A-Za-z0-9_.-]{%d}(?![A-Za-z0-9_.-])" % TOKEN_LENGTH)
_PART = 42
"""Characters of a secret's or a signature's base64: the 43rd holds flags, or two bits."""


class Leaks(logging.Handler):
    """What was let out, and what must not be in it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.texts: list[str] = []
        self.forbidden: dict[str, str] = dict.fromkeys(MARK.values(), "a value")

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(f"{self.format(record)} {vars(record)!r}")

    def saw(self, site: Site, cookie: bytes | None, answer: Answer) -> None:
        """An observer of sites."""
        if site.secret:
            self.forbidden[site.secret] = "a key"
        ours = set(answer.set_cookies)
        headers = [
            f"{name}: {value}" for name, value in answer.headers if value.strip() not in ours
        ]
        self.texts += [*headers, answer.body.decode("latin-1"), *answer.reprs]
        if answer.error is not None:
            self.texts += traceback.format_exception(answer.error)
            self.texts.append(repr(answer.error))
        for text in found_in(cookie or b""):
            if site.secret and signed(site.secret, text):
                self.forbid_token(text)
        for set_cookie in ours:
            for text in found_in(set_cookie.encode()):
                self.forbid_token(text)

    def forbid_token(self, token: str) -> None:
        """In every form in which it could be printed."""
        _, secret, _, signature = token.split(".")
        raw = base64.urlsafe_b64decode(f"{secret}=")
        self.forbidden[signature[:_PART]] = "a token's signature"
        for form in (secret, raw.hex(), base64.b64encode(raw).decode()):
            self.forbidden[form[:_PART]] = "a token's secret"
        self.forbidden[repr(raw)[2:-1]] = "a token's secret"

    def check(self) -> None:
        """:raises AssertionError: something was let out that must not be"""
        everything = "\n".join(self.texts)
        for secret, what in self.forbidden.items():
            place = everything.find(secret)
            assert place < 0, f"{what}: {everything[max(0, place - 300) : place + 300]}"


def found_in(header: bytes) -> list[str]:
    """What looks like a token in a header."""
    return [text.decode() for text in _TOKEN.findall(header) if text.count(b".") == 3]


def signed(secret: str, token: str) -> bool:
    """Whether this key has signed it, whenever that was."""
    signer = TokenSigner(secret.encode(), absolute_timeout=FOR_EVER, clock_skew=FOR_EVER)
    return signer.verify(token, time.time()) is not None


@contextmanager
def watched(printed: pytest.CaptureFixture[str] | None = None) -> Iterator[None]:
    """Whatever is let out in this block is searched at its end.

    :param printed: has what is printed
    """
    leaks, root = Leaks(), logging.getLogger()
    level = root.level
    root.addHandler(leaks)
    root.setLevel(logging.DEBUG)
    sites.observers.append(leaks.saw)
    try:
        yield
        leaks.texts += printed.readouterr() if printed else ()
    finally:
        sites.observers.remove(leaks.saw)
        root.setLevel(level)
        root.removeHandler(leaks)
    leaks.check()


@pytest.fixture(autouse=True)
def nothing_leaks(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Each test of a directory whose conftest imports this is :func:`watched`."""
    with watched(capfd):
        yield
