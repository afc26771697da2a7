"""What a Cookie header says, and which cookie settings a browser would refuse."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sessionstore.core.cookies import Cookie, check_settings, find_values, vary_with_cookie
from sessionstore.core.errors import ConfigurationError


@pytest.mark.parametrize(
    ("header", "values"),
    [
        ("", []),
        ("sid=a", ["a"]),
        ("x=1; sid=a; y=2", ["a"]),
        ("sid=a;sid=b", ["a", "b"]),
        ("sid=b; sid=a", ["b", "a"]),
        ("sid=", [""]),
        ("sid", []),
        ("sid ; sid=a", ["a"]),
        ("\tsid \t=\t a ", ["a"]),
        ("sid=a=b", ["a=b"]),
        ("xsid=1; sidx=2; SID=3; Sid=4", []),
        ("=sid=x", []),
        ("=sid", []),
        ('sid="quoted"', ['"quoted"']),
        ('sid="a\\015\\012b"', ['"a\\015\\012b"']),
        ('other="x; sid=planted"', ['planted"']),
        ("$Version=1; sid=a; $Path=/", ["a"]),
        (";;; sid=a;;", ["a"]),
        ("sid=\xff\ud800", ["\xff\ud800"]),
    ],
)
def test_every_value_of_the_name_is_found_as_it_was_sent(header: str, values: list[str]) -> None:
    assert find_values(header, "sid") == values


@pytest.mark.parametrize("header", ["=__Host-sid=x", "__HOST-sid=x", "__host-sid=x", "__Host-sid"])
def test_other_spellings_of_a_host_cookie_are_ignored(header: str) -> None:
    assert find_values(header, "__Host-sid") == []


@given(st.text(max_size=200), st.sampled_from(["sid", "a", "__Host-sid"]))
def test_any_header_is_searched_without_an_error(header: str, name: str) -> None:
    for value in find_values(header, name):
        assert ";" not in value
        assert value in header


def test_a_hostile_header_costs_no_more_than_its_length() -> None:
    assert find_values("sid=" + "\\" * 20_000 + '"', "sid") == ["\\" * 20_000 + '"']
    assert len(find_values("sid=x; " * 10_000, "sid")) == 10_000


FINE: dict[str, Any] = {"secure": True, "path": "/", "domain": None, "same_site": "Lax"}


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("sid", {}),
        ("sid", {"secure": False}),
        ("sid", {"domain": "example.com", "path": "/app"}),
        ("sid", {"same_site": "None"}),
        ("sid", {"same_site": None, "secure": False}),
        ("__Host-sid", {}),
        ("__Host-sid", {"domain": ""}),
        ("__Secure-sid", {"domain": "example.com", "path": "/app"}),
        ("x" * (4096 - 111), {}),
    ],
)
def test_settings_that_a_browser_accepts(name: str, settings: dict[str, Any]) -> None:
    check_settings(name, **{**FINE, **settings})


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("", {}, "cookie name ''"),
        ("a b", {}, "cookie name 'a b'"),
        ("a=b", {}, "cookie name 'a=b'"),
        ("a;b", {}, "cookie name"),
        ("a\r\nb", {}, "cookie name"),
        ("sid\n", {}, "cookie name"),
        ("\u00e9", {}, "cookie name"),
        ("x" * (4096 - 110), {}, "cookie name"),
        ("__Host-sid", {"secure": False}, "needs the Secure attribute"),
        ("__host-sid", {"secure": False}, "needs the Secure attribute"),
        ("__Secure-sid", {"secure": False}, "needs the Secure attribute"),
        ("__Host-sid", {"path": "/app"}, "needs path '/' and no domain"),
        ("__HOST-sid", {"domain": "example.com"}, "needs path '/' and no domain"),
        ("sid", {"same_site": "none", "secure": False}, "SameSite=None needs the Secure"),
    ],
)
def test_settings_with_which_a_browser_would_drop_the_cookie(
    name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        check_settings(name, **{**FINE, **settings})


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], "Cookie"),
        ([""], "Cookie"),
        (["Accept"], "Accept, Cookie"),
        (["Accept", "Origin,Accept-Encoding"], "Accept, Origin, Accept-Encoding, Cookie"),
        (["Cookie"], None),
        (["Accept,cookie"], None),
        (["*"], None),
        (["Accept", "*"], None),
        (["Cookie2"], "Cookie2, Cookie"),
    ],
)
def test_vary_gets_cookie_once(before: list[str], after: str | None) -> None:
    assert vary_with_cookie(before) == after


def test_a_cookies_repr_shows_no_token() -> None:
    assert repr(Cookie("the token", 60)) == "<Cookie set max_age=60>"
    assert repr(Cookie(None)) == "<Cookie delete max_age=None>"
