"""docs/how-to/django.md does what it says, on a store in memory."""

from __future__ import annotations

from typing import Any

from django.core.checks import run_checks
from django.test import AsyncClient, Client, override_settings
from django.urls import path

from tests.test_docs import DOCS, blocks

PAGE = DOCS / "how-to" / "django.md"


def run_page() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The settings of each block that is one, and everything that the page defines."""
    settings, namespace = [], dict[str, Any]({"__name__": "example"})
    for line, source in blocks(PAGE):
        before = dict(namespace)
        exec(compile("\n" * line + source, str(PAGE), "exec"), namespace)  # noqa: S102 (our page)
        settings.append(
            {
                name: value
                for name, value in namespace.items()
                if name.isupper() and before.get(name) is not value
            }
        )
    return [block for block in settings if block], namespace


def test_the_settings_pass_the_checks() -> None:
    settings, _ = run_page()
    assert len(settings) == 4
    for block in settings:
        with override_settings(**block):
            assert run_checks() == []
            assert Client().get("/").status_code == 404  # it starts


async def test_the_views_work() -> None:
    settings, namespace = run_page()
    urls = (path("account", namespace["account"]), path("visits", namespace["visits"]))
    with override_settings(
        **settings[0] | {"SESSIONSTORE": {"URL": "memory://"}}, ROOT_URLCONF=urls
    ):
        client = AsyncClient()
        for number in (1, 2):
            answer = await client.get("/visits")
            assert answer.content.decode() == f"visit {number} of None"
        handle = client.cookies["sessionid"].value[:16]
        assert (await client.get("/account")).content.decode() == f"{handle}: None since None"
