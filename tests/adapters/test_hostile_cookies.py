"""SECURITY.md section 2, rows 1 to 12: what a client may send, in all three adapters."""

from __future__ import annotations

import hashlib
import hmac
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from itsdangerous import TimestampSigner, URLSafeTimedSerializer

from sessionstore import WeakSecretWarning
from sessionstore.core.token import TokenSigner
from tests.adapters.conftest import Counting, MakeSite
from tests.support.calling import COOKIE, Answer
from tests.support.sites import SECRET, Site, begun, look

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


@pytest.fixture
def hmacs(site: Site, monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What an HMAC is computed of from now on."""
    seen: list[bytes] = []
    digest = hmac.digest

    def counted(key: bytes, message: bytes, algorithm: str) -> bytes:
        seen.append(message)
        return digest(key, message, algorithm)

    site.request(look)
    monkeypatch.setattr("sessionstore.core.token.hmac.digest", counted)
    return seen


def other_salt() -> str:
    made = TimestampSigner(
        SECRET, salt="other", key_derivation="hmac", digest_method=hashlib.sha256
    )
    return made.sign(mint().rsplit(".", 2)[0]).decode()


def flask_cookie() -> str:
    text = URLSafeTimedSerializer(SECRET).dumps({"user": 1})
    assert isinstance(text, str)
    return text


@each(
    unsigned=lambda: "A" * 16 + "." + "B" * 43,
    forged=lambda: mint()[:-43] + "A" * 43,
    another_key=lambda: signer("x" * 32).mint("A" * 16, b"s" * 32, 0, time.time()).text,
    another_salt=other_salt,
    flasks_own=flask_cookie,
)
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
    with counting() as commands, little_work():
        assert is_new(site.request(look, cookie(value)))
    assert commands == {}
    assert hmacs == []
    costs_nothing(site, counting, value)


@contextmanager
def little_work() -> Iterator[None]:
    """At most half a second of this process's own CPU time.

    A hundred times what work in linear time takes here; quadratic work on a MiB takes minutes.
    """
    before = time.process_time()
    yield
    assert time.process_time() - before < 0.5


@each(
    crlf=lambda: r'"a\015\012b"',
    nul=lambda: r'"a\000b"',
    # Each is the text that a framework's own parser would make a good token of.
    token=lambda: '"\\101' + mint()[1:] + '"',
    token_and_crlf=lambda: f'"{mint()}\\015\\012"',
    quoted_token=lambda: f'"{mint()}"',
)
def test_row04_escapes_are_not_decoded(site: Site, counting: Counting, make: Make) -> None:
    costs_nothing(site, counting, make())


@each(
    ff=lambda: b"\xff" * 111,
    utf8=lambda: "é" * 55 + "x",
    lone_surrogate=lambda: b"\xed\xa0\x80" * 37,
    backslashes=lambda: '"' + "\\" * 20_000 + '"',
    escaped_backslashes=lambda: '"' + "\\134" * 20_000 + '"',
)
def test_row05_strange_bytes_are_nobodys_and_cost_little(
    site: Site, counting: Counting, make: Make
) -> None:
    with little_work():
        costs_nothing(site, counting, make())


@each(
    equals=lambda: mint() + "=",
    crlf=lambda: mint() + "%0d%0a",
    newline=lambda: mint() + "\n",
    carriage_return=lambda: mint() + "\r\n",
    non_ascii_digit=lambda: mint()[:-1] + "٣",
    non_ascii_letter=lambda: mint().encode()[:-1] + b"\xe1",
)
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


@pytest.mark.parametrize("order", ["junk first", "junk last"])
def test_row07_the_valid_one_of_duplicates_is_found(site: Site, order: str) -> None:
    valid = cookie(begun(site, a=1).cookie or "")
    pair = [cookie("junk"), valid] if order == "junk first" else [valid, cookie("junk")]
    assert site.request(look, b"; ".join(pair)).result == {"a": 1}


@pytest.mark.parametrize("order", ["older first", "older last"])
def test_row07_of_two_valid_ones_the_newest_counts(
    site: Site, order: str, caplog: pytest.LogCaptureFixture
) -> None:
    newer = cookie(begun(site, a="newer").cookie or "")
    older = cookie(mint(at=time.time() - 100))
    pair = [older, newer] if order == "older first" else [newer, older]
    with caplog.at_level(logging.WARNING, "sessionstore"):
        assert site.request(look, b"; ".join(pair)).result == {"a": "newer"}
    assert "ambiguous_cookie" in caplog.text


@pytest.mark.parametrize("place", [0, 3])
def test_row07_the_valid_one_is_found_among_forged_ones(
    site: Site, hmacs: list[bytes], place: int
) -> None:
    planted = [cookie(signer(f"{n}" * 32).mint("A" * 16, b"s" * 32, 0, 0).text) for n in range(3)]
    planted.insert(place, cookie(begun(site, a=1).cookie or ""))
    planted += [cookie("junk")] * 100
    del hmacs[:]
    answer = site.request(lambda session: (look(session), len(hmacs)), b"; ".join(planted))
    assert answer.result == ({"a": 1}, 4), "of however many, four are verified"


@pytest.mark.parametrize("form", ["={name}={token}", "{upper}={token}", "{name} x={token}"])
@pytest.mark.parametrize("name", [COOKIE, "__Host-sid"])
def test_row08_nameless_and_other_case_names_are_ignored(
    make_site: MakeSite, counting: Counting, form: str, name: str
) -> None:
    site = make_site(cookie_name=name)
    browser = begun(site, a=1)
    header = form.format(name=name, upper=name.upper(), token=browser.cookie)
    with counting() as commands:
        assert is_new(site.request(look, header.encode()))
    assert commands == {}
    assert site.request(look, f"{header}; {name}={browser.cookie}".encode()).result == {"a": 1}


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
    browser = begun(site, a=1)
    handle = (browser.cookie or "")[:16]
    with caplog.at_level(logging.WARNING, "sessionstore"):
        assert is_new(site.request(look, cookie(mint(handle))))
    assert f"{handle}: bad_secret" in caplog.text
    assert browser.do(look) == {"a": 1}


def test_row09_a_superseded_token_is_void_and_reported(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    browser = begun(site, a=1)
    stolen = browser.copy()
    browser.do(lambda session: session.login("ann"))
    with caplog.at_level(logging.WARNING, "sessionstore"):
        answer = stolen.get(look)
    assert is_new(answer)
    assert "token_reuse" in caplog.text


@each(
    from_the_future=lambda: mint(at=time.time() + 60),
    too_old=lambda: mint(at=time.time() - 31 * DAY),
)
def test_row10_of_another_time_is_nobodys(site: Site, counting: Counting, make: Make) -> None:
    costs_nothing(site, counting, make())


def test_row10_a_clock_a_little_ahead_is_accepted(site: Site, make_site: MakeSite) -> None:
    browser = begun(site, a=1)
    verified = signer().verify(browser.cookie or "", time.time())
    assert verified is not None
    ahead = signer().mint(verified.handle, verified.secret, 0, time.time() + 3).text
    assert site.request(look, cookie(ahead)).result == {"a": 1}


def test_row11_fallback_keys_are_accepted_and_signed_anew_retired_ones_are_not(
    make_site: MakeSite, counting: Counting
) -> None:
    old, new = "the old secret, of 32 bytes or more", "the new secret, of 32 bytes or more"
    browser = begun(make_site(secret=old), a=1)
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


@pytest.mark.parametrize("secret", ["", None], ids=["empty", "absent"])
def test_row12_without_a_secret_there_are_no_sessions(
    make_site: MakeSite,
    counting: Counting,
    secret: Any,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SESSIONSTORE_SECRET_KEY", raising=False)
    if "flask" not in request.node.name:
        with pytest.raises(Exception, match=r"secret_key") as refused:
            make_site(secret=secret)
        assert type(refused.value).__name__ in {"SettingsError", "ConfigurationError"}
        return
    site = make_site(secret=secret)  # Flask's null session: it says so when something is written
    with counting() as commands:
        assert is_new(site.request(look, cookie(mint())))
        written = site.request(lambda session: session.update({"a": 1}))
    assert (written.status, written.set_cookies) == (500, [])
    assert "no secret key was set" in str(written.error)
    assert commands == {}


def test_row12_a_short_secret_is_warned_of_once(make_site: MakeSite, prefix: str) -> None:
    secret = f"{prefix}, too short"  # no other site has had it
    with pytest.warns(WeakSecretWarning) as warned:
        make_site(secret=secret).request(look)
    assert len(warned) == 1
    assert f"{len(secret)} bytes" in str(warned[0].message)
    assert secret not in str(warned[0].message)
    # A second one would be an error.
    assert begun(make_site(secret=secret), a=1).do(look) == {"a": 1}
