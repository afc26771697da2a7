"""SECURITY.md section 2, rows 7 to 12: tokens beside others, old ones, and their keys."""

from __future__ import annotations

import logging
import time
from typing import Any

import pytest

from sessionstore import WeakSecretWarning
from tests.adapters.conftest import Counting, MakeSite
from tests.adapters.support import DAY, Make, cookie, costs_nothing, each, is_new, mint, signer
from tests.support.calling import COOKIE
from tests.support.sites import Site, begun, look


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
