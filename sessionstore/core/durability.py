"""Writes that were executed, but are on fewer servers than was asked for."""

from __future__ import annotations

from typing import Final, TypeVar

from sessionstore.core.errors import NotReplicated
from sessionstore.core.flow import Flow
from sessionstore.core.state import State

T = TypeVar("T")

NOT_REPLICATED: Final = "not_replicated"


def executed(write: Flow[T], state: State) -> Flow[T]:
    """A write's result; a shortfall of copies is reported, and the write counts all the same.

    It is not an error to the request: a login that was stored, and whose cookie is then not sent,
    has only logged its user out.
    """
    try:
        return (yield from write)
    except NotReplicated as shortfall:
        state.report(NOT_REPLICATED)
        result: T = shortfall.result
        return result
