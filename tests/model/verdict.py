"""Whether what a commit returned, or raised, is what has happened; and what the request is then."""

from __future__ import annotations

import math

from sessionstore.core.cookies import Cookie
from sessionstore.core.errors import (
    ConflictUnresolved,
    DeadlineExceeded,
    HeadersAlreadySent,
    OutcomeUnknown,
    SessionGone,
    StoreError,
    StoreUnavailable,
)
from sessionstore.core.state import Status
from sessionstore.core.verbs import Conflict
from tests.model.calls import Done, Effect
from tests.model.commits import Commit
from tests.model.oracle import Oracle
from tests.model.spec import (
    ABSOLUTE,
    Kept,
    ends_at_once,
    is_long_lived,
    issued_at,
    secret_of,
    signed_by,
)
from tests.model.stepping import Ran, Running


def conclude(oracle: Oracle, commit: Commit, running: Running | Ran) -> None:
    """A commit has ended."""
    request = commit.request
    request.commit = None
    if running.error is None:
        _returned(oracle, commit, running.result)
    elif isinstance(running.error, SessionGone):
        _gone(oracle, commit)
    elif isinstance(running.error, HeadersAlreadySent):
        assert commit.headers_sent, "the headers are not sent yet"
        ends = commit.wanted.destroy or commit.wanted.leaves
        ended = ends and all(effect.kind == "deleted" for effect in commit.effects)
        assert ended or not commit.effects, "11: written, and reported as refused"
        _half_done(commit, running.error)
    elif isinstance(running.error, StoreError):
        _failed(commit, running.error)
    else:
        raise running.error
    assert request.session.state.status is request.status


# -- it returned --


def _returned(oracle: Oracle, commit: Commit, cookie: Cookie | None) -> None:
    request, wanted = commit.request, commit.wanted
    created = [done.effect for done in commit.done if done.answered and _kind(done) == "created"]
    known = _known_write(commit)
    if created:
        assert len(created) == 1, "one commit has begun two sessions"
        _begun(commit, created[0], cookie)
    elif known is not None:
        _written(commit, *known, cookie)
    elif request.session.state.status is Status.UNAVAILABLE:
        _dropped(commit, cookie)
    elif _ended(commit):
        assert cookie == Cookie(None), "a session has ended, and its cookie stays"
        assert _was_to_end(commit), "11: reported as saved, and the session was deleted"
        request.forget()
        if not wanted.destroy:
            request.leave_behind(wanted)
        request.settle()
    else:
        assert not _must_store(commit), "11: reported as saved, and it is not"
        assert cookie is None, "6: a cookie for nothing"
        if wanted.looked and commit.status is not Status.UNLOADED:
            _nothing(commit)


def _kind(done: Done) -> str | None:
    return None if done.effect is None else done.effect.kind


def _known_write(commit: Commit) -> tuple[Effect, Kept] | None:
    """The write that the product knows of, and what it knows to be stored now."""
    for done in commit.done:
        if done.effect is None or done.effect.kind != "replaced":
            continue
        written = done.effect.after
        assert isinstance(written, Kept)
        if done.answered and done.call.answered:
            return done.effect, written
        # The reply was lost: known only by what the same bytes were answered later.
        last = commit.calls[-1]
        found = last.found
        if (
            last.answered
            and isinstance(found, Kept)
            and commit.request.server.reads(found)
            and written.writes[0] in found.writes
        ):
            return done.effect, found
    return None


def _begun(commit: Commit, effect: Effect | None, cookie: Cookie | None) -> None:
    assert effect is not None and isinstance(effect.after, Kept)
    request, after = commit.request, effect.after
    token = _token(commit, cookie, effect.handle, after.secret, after)
    assert issued_at(token) == int(commit.wanted.now)
    request.token, request.handle, request.secret = token, effect.handle, after.secret
    request.minted = True
    request.destroyed = False
    if commit.wanted.destroy or commit.wanted.leaves:
        request.baseline = {}
    request.follow(after)
    request.rebase(commit.wanted)


def _written(commit: Commit, effect: Effect, now: Kept, cookie: Cookie | None) -> None:
    request, before, after = commit.request, effect.before, effect.after
    assert isinstance(before, Kept) and isinstance(after, Kept)
    request.rebase(commit.wanted)
    if now.epoch != after.epoch:
        assert cookie is None, "7: a cookie for the session of another login"
        request.becomes_void()
        return
    request.follow(now)
    if after.secret != before.secret:
        request.token = _token(commit, cookie, effect.handle, after.secret, now)
        request.secret, request.minted = after.secret, True
        assert issued_at(request.token) == int(commit.wanted.now)
    elif request.secret == now.secret:
        assert request.token is not None and request.secret is not None
        if commit.headers_sent:
            assert cookie is None, "a cookie that cannot be sent"
            return
        if cookie is None and after.browser and not commit.wanted.writes:
            # Only touched: a cookie that ends with the browser needs no other Max-Age.
            assert signed_by(request.token, [request.server.keys[0]]), "not signed anew"
            return
        token = _token(commit, cookie, effect.handle, request.secret, now)
        assert issued_at(token) == issued_at(request.token), "a token was minted anew"
        request.token = token
    else:
        assert cookie is None, "6: an old token overwrites the new one"


def _token(commit: Commit, cookie: Cookie | None, handle: str, secret: bytes, stored: Kept) -> str:
    """The token of a cookie that must be set."""
    assert cookie is not None and cookie.value is not None, "the client gets no token"
    assert cookie.value[:16] == handle, "6: a cookie for another's session"
    assert secret_of(cookie.value) == secret, "6: a cookie that does not open its session"
    newest = commit.request.server.keys[0]
    assert signed_by(cookie.value, [newest]), "not signed with the newest key"
    left = math.ceil(stored.deadline - commit.wanted.now)
    assert cookie.max_age == (None if stored.browser else left)
    outlives = stored.absolute - issued_at(cookie.value) > ABSOLUTE + 1
    assert is_long_lived(cookie.value) == outlives, "refused by its age, or never"
    return cookie.value


def _dropped(commit: Commit, cookie: Cookie | None) -> None:
    """The site prefers pages to errors."""
    request, wanted = commit.request, commit.wanted
    assert request.server.manager.config.on_unavailable == "anonymous"
    assert cookie is None, "6: a cookie for nothing"
    assert all(effect.kind == "deleted" for effect in commit.effects), "11: dropped, and written"
    assert not wanted.changes_hands, "a login was dropped"
    assert commit.failure is None or not (wanted.destroy or wanted.replaces), "a logout was dropped"
    if wanted.destroy:
        last = commit.last("delete")
        ended = last is not None and last.found is None
        assert ended or commit.status is Status.NEW, "a logout was dropped"
        request.forget()
    if request.status is not Status.UNAVAILABLE:
        assert commit.fates("unavailable", "deadline"), "12: unavailable for no reason"
        assert not _uncertain(commit), "11: called dropped, and perhaps written"
        request.status, request.failure = Status.UNAVAILABLE, StoreUnavailable("dropped")
        request.settle()


def _ended(commit: Commit) -> bool:
    """Whether the product knows that the session has ended by this commit."""
    wanted, last = commit.wanted, commit.last("delete")
    if last is None or last.found is not None:
        return False
    # What is missing is as good as deleted for a logout, and for one whose first reply was lost.
    return bool(
        wanted.destroy
        or wanted.leaves
        or any(effect.kind == "deleted" for effect in commit.effects)
        or commit.fates("loses_reply", "loses_command", "held_back")
    )


def _was_to_end(commit: Commit) -> bool:
    wanted = commit.wanted
    if wanted.destroy or wanted.leaves or not wanted.writes:
        return True
    return all(
        isinstance(effect.before, Kept)
        and (not wanted.merged(effect.before) or ends_at_once(effect.before, wanted))
        for effect in commit.effects
    )


def _must_store(commit: Commit) -> bool:
    """Whether there was something to be stored, or deleted, and no reason not to."""
    wanted = commit.wanted
    if not wanted.looked or commit.status is Status.UNLOADED:
        return False
    if wanted.destroy:
        last = commit.last("delete")
        if commit.status is Status.LOADED and (last is None or commit.claims(last.found)):
            return True
        # Nothing of this client's was there to end; only what was written afterwards is left.
        return bool(wanted.values or wanted.login or wanted.force) and (
            wanted.writes if commit.status is not Status.NEW else bool(wanted.changed)
        )
    if commit.status is Status.NEW:
        return bool(wanted.changed or wanted.login or wanted.force)
    if commit.status is Status.VOID:
        return wanted.writes
    if wanted.writes:
        return True
    return commit.touch_is_due and not _touch_failed(commit)


def _touch_failed(commit: Commit) -> bool:
    """Whether a touch met a fault, another writer, or the session's end."""
    last = commit.calls[-1] if commit.calls else None
    if last is None:
        return False
    if not last.answered or not isinstance(last.found, Kept):
        return True
    return last.found.writes[0] != commit.version


def _nothing(commit: Commit) -> None:
    """Nothing was stored, and nothing had to be."""
    request = commit.request
    request.status = commit.status
    if commit.wanted.destroy:
        if commit.status is Status.LOADED:
            request.forget()
            request.becomes_void()
        request.destroyed = False
    if commit.status is not Status.UNAVAILABLE:
        request.settle()


# -- it raised --


def _gone(oracle: Oracle, commit: Commit) -> None:
    request, wanted = commit.request, commit.wanted
    assert wanted.writes, "a read was told that its session is gone"
    assert wanted.login is None, "a login was told that its session is gone"
    assert _known_write(commit) is None, "11: written, and reported as dropped"
    assert not any(effect.kind == "created" for effect in commit.effects)
    if commit.status is not Status.VOID:
        last = commit.last("replace", "delete")
        assert last is not None, "told that its session is gone without asking the store"
        here = commit.claims(last.found)
        assert not here or oracle.is_over(last.found), (
            "told that its session is gone, and it is not"
        )
    if wanted.destroy or wanted.leaves:
        request.baseline, request.destroyed = {}, False
    request.becomes_void()
    request.rebase(wanted)


def _failed(commit: Commit, error: StoreError) -> None:
    request, wanted = commit.request, commit.wanted
    if commit.failure is not None and not commit.done:
        assert isinstance(error, type(commit.failure)), "12: another error than that of the load"
        assert wanted.destroy or wanted.replaces
        request.destroyed = request.destroyed or wanted.destroy
        return
    storing = wanted.writes or wanted.destroy or commit.status is Status.NEW
    assert storing, "a touch that failed was no reason to fail"
    _fits(commit, error)
    _half_done(commit, error)
    last = commit.last("replace")
    if last is not None and isinstance(last.found, Kept) and commit.claims(last.found):
        request.version = last.found.writes[0]


def _fits(commit: Commit, error: StoreError) -> None:
    """Whether the error is the one that the commit's commands met."""
    if isinstance(error, OutcomeUnknown):
        assert _uncertain(commit), "the outcome is known"
        return
    written = [effect for effect in commit.effects if effect.kind != "deleted"]
    assert not written, "11: written, and reported as failed"
    assert not _uncertain(commit), "11: perhaps written, and reported as failed"
    last, call = commit.done[-1], commit.calls[-1]
    if isinstance(error, ConflictUnresolved):
        unreadable = call.verb == "delete" and call.answered and call.found is not None
        contested = any(isinstance(it.result, Conflict) for it in commit.calls[:-1])
        assert unreadable or (last.fate == "deadline" and contested)
        return
    names = {
        "unavailable": StoreUnavailable,
        "deadline": DeadlineExceeded,
    }
    expected = names.get(last.fate)
    if expected is None:
        assert last.fate == type(error).__name__, "12: another error than the store's"
    else:
        assert type(error) is expected, "12: another error than the store's"
    anonymous = commit.request.server.manager.config.on_unavailable == "anonymous"
    if anonymous and isinstance(error, StoreUnavailable):
        assert commit.wanted.destroy or commit.wanted.changes_hands, "an ordinary write has failed"


def _uncertain(commit: Commit) -> bool:
    """Whether a write since the last known outcome was sent and its reply never came."""
    found = False
    for call in commit.calls:
        if call.is_uncertain:
            found = True
        elif call.answered and call.verb == "delete":
            found = False
    return found


def _half_done(commit: Commit, error: Exception) -> None:
    """If a session was to be ended and another to be begun: how far did it get?"""
    request, wanted, last = commit.request, commit.wanted, commit.last("delete")
    if not (wanted.destroy or wanted.leaves):
        return
    unreadable = isinstance(error, ConflictUnresolved)
    if last is not None and not unreadable and not commit.claims(last.found):
        request.forget()
        if last.found is not None:
            request.becomes_void()
    elif wanted.destroy:
        request.destroyed = commit.status in {Status.LOADED, Status.UNLOADED}
        request.status = commit.status
