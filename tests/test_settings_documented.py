"""docs/reference/settings.md has every setting that exists, with its default, and no other."""

from __future__ import annotations

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from sessionstore import SessionConfig
from sessionstore import settings as shared
from sessionstore.asgi import SessionMiddleware
from sessionstore.asgi.middleware import Settings
from sessionstore.django.configuration import OPTIONS
from sessionstore.flask import SessionStore
from sessionstore.flask.settings import OPTIONS as FLASK_OPTIONS
from sessionstore.stores.base import DEFAULT_PREFIX, DEFAULT_TIMEOUT

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "settings.md"
_SECTION = re.compile(r"^## (.+?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, str] = dict(_SECTION.findall(PAGE.read_text()))
FIELDS = {field.name: field for field in dataclasses.fields(SessionConfig)}


def rows(section: str) -> dict[str, str]:
    """The first column's names with the second column's text."""
    found = re.findall(r"^\| `(\w+)` \| ?(.*?) ?\|", SECTIONS[section], re.MULTILINE)
    assert len(dict(found)) == len(found)
    return dict(found)


def evaluated(text: str) -> Any:
    assert re.fullmatch(r"`.*`", text), text
    return eval(text.strip("`"), {"__builtins__": {}})  # noqa: S307 (our own page)


def names(section: str) -> set[str]:
    """Every name in code type, wherever it stands in the section."""
    return set(re.findall(r"`(\w+)`", SECTIONS[section]))


def test_the_core_has_exactly_these_settings() -> None:
    assert list(rows("The core")) == list(FIELDS)


@pytest.mark.parametrize("name", FIELDS)
def test_a_default_is_what_the_page_says(name: str) -> None:
    default = FIELDS[name].default
    text = rows("The core")[name]
    if default is dataclasses.MISSING:
        assert text == ""
    elif text == "see below":
        below = re.search(rf"By default `{name}` is (`.*?`)", SECTIONS["The core"], re.DOTALL)
        assert below
        assert evaluated(below[1].replace("\n", " ")) == default
    else:
        assert evaluated(text) == default


def test_the_stores_common_options() -> None:
    documented = {name: evaluated(text) for name, text in rows("The store").items()}
    assert documented == {"timeout": DEFAULT_TIMEOUT, "prefix": DEFAULT_PREFIX}


def test_the_environment() -> None:
    assert set(rows("The environment")) == {
        shared.URL_VARIABLE,
        shared.SECRET_VARIABLE,
        shared.FALLBACKS_VARIABLE,
    }


def test_django() -> None:
    assert names("Django") >= OPTIONS
    documented = {name for name in names("Django") if name.isupper()}
    own = {name for name in documented if name.startswith("SESSION_")} | {"SESSIONSTORE"}
    assert documented - own == OPTIONS


def test_flask() -> None:
    documented = {name for name in names("Flask") if name.startswith("SESSIONSTORE_")}
    assert documented == {f"SESSIONSTORE_{name.upper()}" for name in FLASK_OPTIONS}
    parameters = set(inspect.signature(SessionStore).parameters) - {"app", "options"}
    assert parameters <= names("Flask")


def test_asgi_parameters_and_their_defaults() -> None:
    parameters = dict(inspect.signature(SessionMiddleware).parameters)
    del parameters["app"], parameters["settings"]
    documented = rows("ASGI")
    assert list(documented) == list(parameters)
    for name, text in documented.items():
        if name != "clock":
            assert evaluated(text) == parameters[name].default, name


def test_asgi_keyword_settings() -> None:
    further = SECTIONS["ASGI"].partition("Further keyword arguments")[2]
    described = set(re.findall(r"`(\w+)`", further))
    assert described == set(Settings.__annotations__)
