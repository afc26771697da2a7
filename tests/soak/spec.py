"""A session as it is seen over HTTP: what is new is not told from what is void."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, Final

from tests.concurrency.history import Operation
from tests.concurrency.sessions import Life, Sessions

NOTHING: Final = "nothing"
"""What a request has found that has found no session, or an empty one."""
GONE: Final = "gone"


class SessionsOverHttp(Sessions):
    """With ``expire`` besides, after which it may be over at any time."""

    def after(self, state: Any, operation: Operation) -> Iterable[Hashable]:
        """See :class:`tests.concurrency.wing_gong.Spec`."""
        if isinstance(state, Life) and state.expiring and operation.result in {NOTHING, GONE}:
            return (state,)
        return super().after(state, operation)

    def _open(self, state: Any, secret: str) -> tuple[Any, Any]:
        after, seen = super()._open(state, secret)
        return after, NOTHING if seen in {"new", "void"} else seen

    def _expire(self, state: Any, secret: str, seconds: int) -> tuple[Any, Any]:
        if not isinstance(state, Life) or secret not in state.ours:
            return state, GONE
        return state._replace(expiring=True), "saved"
