"""SECURITY.md section 2, rows 1 to 6: cookies that are no tokens, in all three adapters."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from tests.adapters.conftest import Counting
from tests.adapters.support import (
    Make,
    cookie,
    costs_nothing,
    each,
    is_new,
    little_work,
    mint,
    signer,
)
from tests.support.calling import COOKIE
from tests.support.sites import SECRET, Site, begun, look


def other_salt() -> str:
    made = TimestampSigner(
        SECRET, salt="other", key_derivation="hmac", digest_method=hashlib.sha256
    )
    return made.sign(mint().rsplit(".", 2)[0]).decode()


def flask_cookie() -> str:
    text = URLSafeTimedSerializer(SECRET).dumps({"user": 1})
    assert isinstance(text, str)
    return text


UNSIGNED: dict[str, Make] = {
    "unsigned": lambda: "A" * 16 + "." + "B" * 43,
    "forged": lambda: mint()[:-43] + "A" * 43,
    "another_key": lambda: signer("x" * 32).mint("A" * 16, b"s" * 32, 0, time.time()).text,
    "another_salt": other_salt,
    "flasks_own": flask_cookie,
}


@each(**UNSIGNED)
def test_row01_what_we_have_not_signed_is_nobodys(
    site: Site, counting: Counting, make: Make
) -> None:
    costs_nothing(site, counting, make())


def test_row02_truncated_at_every_length(site: Site, counting: Counting) -> None:
    browser = begun(site, a=1)
    token = browser.cookie or ""
    with counting() as commands:
        for length in range(len(token)):
            assert is_new(site.request(look, cookie(token[:length]))), length
    assert commands == {}


def test_row02_every_bit_flipped(site: Site, counting: Counting) -> None:
    browser = begun(site, a=1)
    token = (browser.cookie or "").encode()
    with counting() as commands:
        for position in range(len(token)):
            for bit in range(8):
                flipped = bytearray(token)
                flipped[position] ^= 1 << bit
                assert is_new(site.request(look, cookie(bytes(flipped)))), (position, bit)
    assert commands == {}


FORMLESS: dict[str, bytes | str] = {
    "empty": "",
    "only dots": "...",
    "10^5 dots": "." * 100_000,
    "4097 B": "A" * 4097,
    "64 KiB": "A" * 65_536,
    "1 MiB": "A" * 1_048_576,
    "1 MiB of pairs": "; a=" * 262_144,
    "1 MiB of names": f"; {COOKIE}=" * 200_000,
}


@pytest.mark.parametrize("value", FORMLESS.values(), ids=list(FORMLESS))
def test_row03_what_has_no_tokens_form_is_refused_before_any_hmac(
    site: Site, counting: Counting, hmacs: list[bytes], value: bytes | str
) -> None:
    with counting() as commands, little_work(2):  # quadratic work on a MiB takes minutes
        assert is_new(site.request(look, cookie(value)))
    assert commands == {}
    assert hmacs == []
    costs_nothing(site, counting, value)


ESCAPED: dict[str, Make] = {
    "crlf": lambda: r'"a\015\012b"',
    "nul": lambda: r'"a\000b"',
    # Each is the text that a framework's own parser would make a good token of.
    "token": lambda: '"\\101' + mint()[1:] + '"',
    "token_and_crlf": lambda: f'"{mint()}\\015\\012"',
    "quoted_token": lambda: f'"{mint()}"',
}


@each(**ESCAPED)
def test_row04_escapes_are_not_decoded(site: Site, counting: Counting, make: Make) -> None:
    costs_nothing(site, counting, make())


BACKSLASHES = '"' + "\\" * 20_000 + '"'
"""Takes the parser of a Python without the fix of CVE-2024-7592 quadratic time."""
STRANGE: dict[str, Make] = {
    "ff": lambda: b"\xff" * 111,
    "utf8": lambda: "é" * 55 + "x",
    "lone_surrogate": lambda: b"\xed\xa0\x80" * 37,
    "backslashes": lambda: BACKSLASHES,
    "escaped_backslashes": lambda: '"' + "\\134" * 20_000 + '"',
}


@each(**STRANGE)
def test_row05_strange_bytes_are_nobodys_and_cost_little(
    site: Site, counting: Counting, make: Make
) -> None:
    with little_work(0.5):
        costs_nothing(site, counting, make())


@pytest.mark.parametrize(
    "action",
    [look, lambda session: session.login("ann"), lambda session: session.logout()],
    ids=["read", "login", "logout"],
)
def test_row05_a_neighbour_of_the_cookie_costs_little(
    site: Site, action: Callable[[Any], Any]
) -> None:
    browser = begun(site, a=1)
    with little_work(0.5):
        answer = site.request(action, f"other={BACKSLASHES}; {COOKIE}={browser.cookie}".encode())
    assert answer.status == 200


ALIKE: dict[str, Make] = {
    "equals": lambda: mint() + "=",
    "crlf": lambda: mint() + "%0d%0a",
    "newline": lambda: mint() + "\n",
    "carriage_return": lambda: mint() + "\r\n",
    "non_ascii_digit": lambda: mint()[:-1] + "٣",
    "non_ascii_letter": lambda: mint().encode()[:-1] + b"\xe1",
}


@each(**ALIKE)
def test_row06_what_decodes_alike_is_refused(site: Site, counting: Counting, make: Make) -> None:
    costs_nothing(site, counting, make())


def test_row06_one_spelling_of_each_signature(site: Site, counting: Counting) -> None:
    browser = begun(site, a=1)
    token = browser.cookie or ""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    with counting() as commands:
        for letter in alphabet.replace(token[-1], ""):
            assert is_new(site.request(look, cookie(token[:-1] + letter)))
    assert commands == {}
