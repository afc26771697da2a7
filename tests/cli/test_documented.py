"""Every command and option is documented, and nothing is that does not exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from sessionstore.cli.app import cli

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "cli.md"
_SECTION = re.compile(r"^## `sessionstore (\S+)`\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
SECTIONS: dict[str, str] = dict(_SECTION.findall(PAGE.read_text()))


def options(command: click.Command) -> set[str]:
    return {
        name
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for name in parameter.opts
        if name not in ("--help", "--version")
    }


def test_the_page_has_exactly_the_commands_that_exist() -> None:
    assert set(SECTIONS) == set(cli.commands)


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_a_section_has_exactly_the_options_that_exist(name: str) -> None:
    described = set(re.findall(r"^`(--[a-z-]+)[^`]*`$", SECTIONS[name], re.MULTILINE))
    assert described == options(cli.commands[name])


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_a_section_names_the_arguments(name: str) -> None:
    for parameter in cli.commands[name].params:
        if isinstance(parameter, click.Argument):
            usage = parameter.make_metavar(click.Context(cli.commands[name]))
            assert f"sessionstore {name} {usage}" in SECTIONS[name]


@pytest.mark.parametrize("name", sorted(cli.commands))
def test_help_says_what_each_command_and_option_does(name: str) -> None:
    command = cli.commands[name]
    assert command.help
    assert all(option.help for option in command.params if isinstance(option, click.Option))


def test_the_page_names_every_variable_that_is_read() -> None:
    from sessionstore.cli.keys import ENCRYPTION_VARIABLE
    from sessionstore.settings import SECRET_VARIABLE, URL_VARIABLE

    page = PAGE.read_text()
    assert all(name in page for name in (URL_VARIABLE, SECRET_VARIABLE, ENCRYPTION_VARIABLE))
