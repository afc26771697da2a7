"""A session as a specification: what its clients may see and do, one after the other.

``open`` and ``commit`` are operations of their own, as they are in a request. A commit names the
secret that its ``open`` came with, by which a late one is told from one in time: it is the
session's as long as nobody has logged in since. Secrets and values are used once only, so that
whoever sees one says whose it was.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final, NamedTuple

from tests.concurrency.history import Operation

ENDED: Final = "ended"


class Life(NamedTuple):
    """A session between its begin and its end.

    :param attributes: names and values, by name
    :param flashes: the list that is appended to
    :param previous: the secret before, unless a login has killed it
    :param dead: the secret before, if a login has
    :param expiring: somebody gave it a short lifetime: from now on it may be over
    :param ours: every secret since the last login: what they commit is not too late
    """

    attributes: tuple[tuple[str, int], ...]
    flashes: tuple[int, ...]
    subject: str | None
    secret: str
    previous: str | None = None
    dead: str | None = None
    ours: frozenset[str] = frozenset()
    expiring: bool = False

    def with_attribute(self, name: str, value: int) -> Life:
        """After one attribute was set."""
        attributes = tuple(sorted({**dict(self.attributes), name: value}.items()))
        return self._replace(attributes=attributes)


class Sessions:
    """``begin``, ``open``, ``write``, ``append``, ``rotate``, ``login``, ``logout``."""

    initial: Hashable = None

    def after(self, state: Any, operation: Operation) -> Iterable[Hashable]:
        """See :class:`tests.concurrency.wing_gong.Spec`."""
        after, result = getattr(self, f"_{operation.name}")(state, *operation.arguments)
        if operation.is_unknown:
            # What changes nothing need not have happened.
            return () if after == state else (after,)
        return (after,) if result == operation.result else ()

    def mark(self, operation: Operation) -> Hashable:
        """See :class:`tests.concurrency.wing_gong.Spec`."""
        return operation.arguments[-1] if operation.name in {"write", "append"} else None

    def _begin(self, state: Any, *life: Any) -> tuple[Any, Any]:
        if state is not None:
            return state, None
        begun = Life(*life)
        return begun._replace(ours=frozenset({begun.secret})), "begun"

    def _open(self, state: Any, secret: str) -> tuple[Any, Any]:
        if not isinstance(state, Life):
            return state, "new"
        if secret in (state.secret, state.previous):
            return state, (state.attributes, state.flashes, state.subject)
        return state, "void" if secret == state.dead else "new"

    def _write(self, state: Any, secret: str, name: str, value: int) -> tuple[Any, Any]:
        if not _is_ours(state, secret):
            return state, "gone"
        return state.with_attribute(name, value), "saved"

    def _append(self, state: Any, secret: str, value: int) -> tuple[Any, Any]:
        if not _is_ours(state, secret):
            return state, "gone"
        return state._replace(flashes=(*state.flashes, value)), "saved"

    def _rotate(self, state: Any, secret: str, new: str) -> tuple[Any, Any]:
        """``new``: the secret that it was given; the operation's own name if nobody knows it."""
        if not _is_ours(state, secret):
            return state, "gone"
        if secret != state.secret:
            return state, "not rotated"
        return state._replace(
            secret=new, previous=secret, dead=None, ours=state.ours | {new}
        ), "rotated"

    def _login(self, state: Any, secret: str, new: str, user: str) -> tuple[Any, Any]:
        if not _is_ours(state, secret) or secret != state.secret:
            return state, "elsewhere"
        # Another user's attributes do not stay; a visitor's do.
        stays = state.subject in (None, user)
        after = Life(
            state.attributes if stays else (),
            state.flashes if stays else (),
            user,
            secret=new,
            dead=secret,
            ours=frozenset({new}),
        )
        return after, "logged in"

    def _logout(self, state: Any, secret: str) -> tuple[Any, Any]:
        if isinstance(state, Life) and secret not in state.ours:
            return state, "not ours"
        return ENDED, "logged out"


def _is_ours(state: Any, secret: str) -> bool:
    return isinstance(state, Life) and secret in state.ours
