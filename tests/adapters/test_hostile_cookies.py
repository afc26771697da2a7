"""SECURITY.md section 2, rows 1 to 12: what a client may send, in all three adapters."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from sessionstore.core.token import TokenSigner
from tests.adapters.conftest import Counting, MakeSite
from tests.support.sites import COOKIE, SECRET, Answer, Browser, Site

DAY = 86400


def signer(secret: str = SECRET) -> TokenSigner:
    return TokenSigner(secret.encode(), absolute_timeout=400 * DAY)


def mint(handle: str = "A" * 16, secret: bytes = b"s" * 32, at: float | None = None) -> str:
    """A token with a good signature, as only the application can make one."""
    return signer().mint(handle, secret, 0, time.time() if at is None else at).text


def look(session: object) -> object:
    return dict(session.items())  # type: ignore[attr-defined]


def is_new(answer: Answer) -> bool:
    """Anonymous: an empty session, and no cookie set or deleted."""
    return (answer.status, answer.result, answer.set_cookies) == (200, {}, [])


def cookie(value: bytes | str) -> bytes:
    return f"{COOKIE}=".encode() + (value.encode() if isinstance(value, str) else value)


def other_salt() -> str:
    made = TimestampSigner(
        SECRET, salt="other", key_derivation="hmac", digest_method=hashlib.sha256
    )
    return made.sign(mint().rsplit(".", 2)[0]).decode()


JUNK: dict[str, Callable[[], bytes | str]] = {
    "row01-unsigned": lambda: "A" * 16 + "." + "B" * 43,
    "row01-forged": lambda: mint()[:-43] + "A" * 43,
    "row01-another-key": lambda: signer("x" * 32).mint("A" * 16, b"s" * 32, 0, time.time()).text,
    "row01-another-salt": other_salt,
    "row01-flask-cookie": lambda: URLSafeTimedSerializer(SECRET).dumps({"user": 1}),  # type: ignore[return-value]
    "row03-empty": lambda: "",
    "row03-only-dots": lambda: "...",
    "row03-many-dots": lambda: "." * 100_000,
    "row03-4097-bytes": lambda: "A" * 4097,
    "row03-64-KiB": lambda: "A" * 65_536,
    "row03-1-MiB": lambda: "A" * 1_048_576,
    "row04-escaped-crlf": lambda: r'"a\015\012b"',
    "row04-escaped-nul": lambda: r'"a\000b"',
    "row04-escaped-token": lambda: '"\\101' + mint()[1:] + '"',
    "row05-ff": lambda: b"\xff" * 111,
    "row05-utf8": lambda: "é" * 55 + "x",
    "row05-lone-surrogate": lambda: b"\xed\xa0\x80" * 37,
    "row05-backslashes": lambda: '"' + "\\" * 20_000 + '"',
    "row06-appended-equals": lambda: mint() + "=",
    "row06-appended-crlf": lambda: mint() + "%0d%0a",
    "row06-non-ascii-digit": lambda: mint()[:-1] + "٣",
    "row10-future": lambda: mint(at=time.time() + 60),
    "row10-too-old": lambda: mint(at=time.time() - 31 * DAY),
}


@pytest.mark.parametrize("junk", JUNK.values(), ids=list(JUNK))
def test_junk_is_anonymous_and_costs_no_command(
    site: Site, counting: Counting, junk: Callable[[], bytes | str]
) -> None:
    with counting() as commands:
        assert is_new(site.request(look, cookie(junk())))
    assert commands == {}


@pytest.mark.parametrize("junk", JUNK.values(), ids=list(JUNK))
def test_a_write_after_junk_begins_a_session_of_our_own(
    site: Site, junk: Callable[[], bytes | str]
) -> None:
    answer = site.request(lambda session: session.update({"a": 1}), cookie(junk()))
    assert answer.status == 200
    [set_cookie] = answer.set_cookies
    assert "A" * 16 not in set_cookie


def test_row02_truncated_at_every_length(site: Site, counting: Counting) -> None:
    browser = site.browser()
    browser.do(lambda session: session.update({"a": 1}))
    token = browser.cookie or ""
    with counting() as commands:
        for length in range(len(token)):
            assert is_new(site.request(look, cookie(token[:length]))), length
    assert commands == {}


def test_row02_every_bit_flipped(site: Site, counting: Counting) -> None:
    browser = site.browser()
    browser.do(lambda session: session.update({"a": 1}))
    token = (browser.cookie or "").encode()
    with counting() as commands:
        for position in range(len(token)):
            for bit in range(8):
                flipped = bytearray(token)
                flipped[position] ^= 1 << bit
                assert is_new(site.request(look, cookie(bytes(flipped)))), (position, bit)
    assert commands == {}


def test_row06_one_spelling_of_each_signature(site: Site, counting: Counting) -> None:
    browser = site.browser()
    browser.do(lambda session: session.update({"a": 1}))
    token = browser.cookie or ""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    with counting() as commands:
        for letter in alphabet.replace(token[-1], ""):
            assert is_new(site.request(look, cookie(token[:-1] + letter)))
    assert commands == {}


def logged_in(site: Site, **values: object) -> Browser:
    browser = site.browser()
    browser.do(lambda session: session.update(values))
    return browser


@pytest.mark.parametrize("order", ["junk first", "junk last"])
def test_row07_the_valid_one_of_duplicates_is_found(site: Site, order: str) -> None:
    valid = cookie(logged_in(site, a=1).cookie or "")
    pair = [cookie("junk"), valid] if order == "junk first" else [valid, cookie("junk")]
    assert site.request(look, b"; ".join(pair)).result == {"a": 1}


@pytest.mark.parametrize("order", ["older first", "older last"])
def test_row07_of_two_valid_ones_the_newest_counts(
    site: Site, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    newer = cookie(logged_in(site, a="newer").cookie or "")
    older = cookie(mint(at=time.time() - 100))
    pair = [older, newer] if order == "older first" else [newer, older]
    with caplog.at_level(logging.WARNING, "sessionstore"):
        assert site.request(look, b"; ".join(pair)).result == {"a": "newer"}
    assert "ambiguous_cookie" in caplog.text


@pytest.mark.parametrize("form", ["={name}={token}", "{upper}={token}", "{name} x={token}"])
def test_row08_nameless_and_other_case_names_are_ignored(
    site: Site, counting: Counting, form: str
) -> None:
    token = logged_in(site, a=1).cookie
    header = form.format(name=COOKIE, upper=COOKIE.upper(), token=token)
    with counting() as commands:
        assert is_new(site.request(look, header.encode()))
    assert commands == {}


def test_row09_an_unknown_handle_is_not_adopted(site: Site, counting: Counting) -> None:
    with counting() as commands:
        assert is_new(site.request(look, cookie(mint())))
    assert commands == {"get": 1}
    answer = site.request(lambda session: session.update({"a": 1}), cookie(mint()))
    [set_cookie] = answer.set_cookies
    assert not set_cookie.startswith(f"{COOKIE}={'A' * 16}")


def test_row09_a_wrong_secret_reads_nothing_and_is_reported(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    browser = logged_in(site, a=1)
    handle = (browser.cookie or "")[:16]
    with caplog.at_level(logging.WARNING, "sessionstore"):
        assert is_new(site.request(look, cookie(mint(handle))))
    assert f"{handle}: bad_secret" in caplog.text
    assert browser.do(look) == {"a": 1}


def test_row09_a_superseded_token_is_void_and_reported(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    browser = logged_in(site, a=1)
    stolen = browser.copy()
    browser.do(lambda session: session.login("ann"))
    with caplog.at_level(logging.WARNING, "sessionstore"):
        answer = stolen.get(lambda session: dict(session.items()))
    assert is_new(answer)
    assert "token_reuse" in caplog.text


def test_row10_a_clock_a_little_ahead_is_accepted(site: Site, make_site: MakeSite) -> None:
    browser = logged_in(site, a=1)
    verified = signer().verify(browser.cookie or "", time.time())
    assert verified is not None
    ahead = signer().mint(verified.handle, verified.secret, 0, time.time() + 3).text
    assert site.request(look, cookie(ahead)).result == {"a": 1}


def test_row11_fallback_keys_are_accepted_and_signed_anew_retired_ones_are_not(
    make_site: MakeSite, counting: Counting
) -> None:
    old, new = "the old secret, of 32 bytes or more", "the new secret, of 32 bytes or more"
    browser = logged_in(make_site(secret=old), a=1)
    between = make_site(secret=new, secret_key_fallbacks=[old])
    after = make_site(secret=new)
    retired = browser.copy()
    browser.site = between
    before = browser.cookie
    assert browser.do(look) == {"a": 1}
    browser.do(lambda session: session.update({"b": 2}))
    assert browser.cookie != before
    browser.site = after
    assert browser.do(look) == {"a": 1, "b": 2}
    with counting() as commands:
        assert is_new(after.request(look, cookie(retired.cookie or "")))
    assert commands == {}
