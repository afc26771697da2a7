"""Mistakes that are easily made, each as a patch of the product. Nothing here is of any other use.

Most are in the product's flows, not in a store, so that every check meets the same ones. What one
store alone can get wrong comes last.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from itsdangerous.encoding import base64_decode

from sessionstore.core import (
    expiry,
    extensions,
    merge,
    opening,
    rotation,
    sealing,
    token,
    writing,
)
from sessionstore.core.cookies import Cookie
from sessionstore.core.ending import Ending
from sessionstore.core.errors import OutcomeUnknown, StoreError
from sessionstore.core.flow import Flow
from sessionstore.core.opening import Opening
from sessionstore.core.record import WRITE_ID_BYTES, Record
from sessionstore.core.state import State, Status
from sessionstore.core.token import TokenSigner, secret_hash
from sessionstore.core.verbs import Conflict, Entry, Exists, Missing, Version
from sessionstore.core.writing import Writing
from sessionstore.manager import SessionManager
from sessionstore.stores.memcached import commands
from sessionstore.stores.memcached.messages import Outcome, Reply
from sessionstore.stores.memcached.meta import MetaParser
from sessionstore.stores.memory import MemoryStore
from sessionstore.stores.servers.channel import Channel

Plant = Callable[[pytest.MonkeyPatch], None]


def blind_save(patch: pytest.MonkeyPatch) -> None:
    """The record is replaced whatever it has become: the last writer wins."""
    send = Writing._send

    def blind(self: Any, request: Any, after: Record, version: Version, **rest: Any) -> Flow[Any]:
        entry = yield from self._verbs.load(self._verbs.key(request.state.token.handle))
        version = version if entry is None else entry.version
        return (yield from send(self, request, after, version, **rest))

    patch.setattr(Writing, "_send", blind)


def create_after_logout(patch: pytest.MonkeyPatch) -> None:
    """What is missing is created: a late save brings the session back."""
    init = Writing.__init__

    class Upserting:
        def __init__(self, verbs: Any) -> None:
            self._verbs = verbs

        def __getattr__(self, name: str) -> Any:
            return getattr(self._verbs, name)

        def replace(self, key: bytes, value: bytes, ttl: float, version: Version) -> Flow[Any]:
            result = yield from self._verbs.replace(key, value, ttl, version)
            if isinstance(result, Missing):
                return (yield from self._verbs.create(key, value, ttl))
            return result

    def upserting(self: Any, verbs: Any, *rest: Any) -> None:
        init(self, Upserting(verbs), *rest)

    patch.setattr(Writing, "__init__", upserting)


def rotation_in_two_steps(patch: pytest.MonkeyPatch) -> None:
    """First who it is, then the new secret: in between, an old token is somebody's login."""
    send = Writing._send

    def two_steps(self: Any, request: Any, after: Record, version: Version, **rest: Any) -> Any:
        before = request.state.record
        if after.secret_hash != before.secret_hash:
            first = replace(after, secret_hash=before.secret_hash, previous=before.previous)
            stored = yield from send(self, request, first, version, **rest)
            if not isinstance(stored, writing._Stored):
                return stored
            version = stored.version
            ids = (request.entropy(WRITE_ID_BYTES), *first.write_ids[:3])
            after = replace(after, counter=after.counter + 1, write_ids=ids)
        return (yield from send(self, request, after, version, **rest))

    patch.setattr(Writing, "_send", two_steps)


def ttl_past_the_absolute_deadline(patch: pytest.MonkeyPatch) -> None:
    """Activity prolongs a session without end."""
    patch.setattr(expiry, "deadline", lambda touched, idle, absolute: touched + idle)


def merge_that_drops_the_other_side(patch: pytest.MonkeyPatch) -> None:
    """On a conflict, the attributes as this request has read them count."""
    apply = merge.apply

    def drops(delta: Any, theirs: Any, base: Any, functions: Any) -> Any:
        return apply(delta, base, base, functions)

    patch.setattr(merge, "apply", drops)


def merging_ones_own_lost_write(patch: pytest.MonkeyPatch) -> None:
    """The conflict after a lost reply is taken for another's write."""

    def merges(self: Any, state: State, after: Record, conflict: Conflict, lost: Any) -> Conflict:
        return conflict

    patch.setattr(Writing, "_recognise", merges)


def create_repeated_after_a_lost_reply(patch: pytest.MonkeyPatch) -> None:
    """The same record is created again, under the same handle."""
    create = MemoryStore.create

    def repeats(self: Any, key: bytes, value: bytes, ttl: float) -> Flow[Version | Exists]:
        try:
            return (yield from create(self, key, value, ttl))
        except OutcomeUnknown:
            yield from create(self, key, value, ttl)
            return value[1:13]

    patch.setattr(MemoryStore, "create", repeats)


def delete_without_the_secret(patch: pytest.MonkeyPatch) -> None:
    """Whoever names the session by a token of any age may end it."""

    def careless(self: Any, state: State, now: float) -> Flow[Cookie | None]:
        if state.token is None:
            return None
        yield from self._verbs.delete(self._verbs.key(state.token.handle))
        self.forget(state)
        return Cookie(None)

    patch.setattr(Ending, "destroy", careless)


def signature_checked_after_the_load(patch: pytest.MonkeyPatch) -> None:
    """Whatever looks like a token is looked up first."""
    load = Opening.load

    def begin(self: Any, cookies: Iterable[str], now: float, loader: Any = None) -> State:
        forms = [form for form in map(token._FORM.fullmatch, cookies) if form]
        if not forms:
            return State(None, loader)
        handle, text = forms[0].group(1), forms[0].string
        secret = base64_decode(forms[0].group(2))
        return State(token.Token(handle, secret, 0, 0, False, text), loader)

    def verifies(self: Any, state: State, now: float) -> Flow[None]:
        text = "" if state.token is None else state.token.text
        yield from load(self, state, now)
        if state.token is not None:
            verified = self._signer.verify(text, now)
            if verified is None:
                opening._become_new(state)
            else:
                state.token = verified

    patch.setattr(Opening, "begin", begin)
    patch.setattr(Opening, "load", verifies)


def hash_of_another_record(patch: pytest.MonkeyPatch) -> None:
    """The secret is looked for among those of all records that this process has loaded."""
    seen: set[bytes] = set()

    def any_record(state: State, found: Record) -> bool:
        seen.add(found.secret_hash)
        return state.token is not None and secret_hash(state.token.secret) in seen

    patch.setattr(opening, "holds_current_secret", any_record)


def hash_of_the_record_before(patch: pytest.MonkeyPatch) -> None:
    """After a conflict, the secret is compared with the record that was read at first."""

    def as_it_was(state: State, found: Record) -> bool:
        return state.proven

    patch.setattr(writing, "holds_current_secret", as_it_was)


def epoch_ignored(patch: pytest.MonkeyPatch) -> None:
    """A login is met like any other write: what a visitor's request wrote is merged into it."""
    meet = Writing._meet

    def merges(self: Any, request: Any, found: Record, result: Any) -> Any:
        if isinstance(result, Conflict):
            theirs = self._decode(request.state, result)
            if theirs is not None:
                return writing._Stored(theirs, result.entry.version)
        return meet(self, request, found, result)

    patch.setattr(Writing, "_meet", merges)


def old_secret_for_ever(patch: pytest.MonkeyPatch) -> None:
    """A login leaves the secret before it good for as long as a step-up does."""
    rotated = rotation.rotated

    def lenient(record: Record, intent: Any, secret: bytes, grace_until: float) -> Record:
        after = rotated(record, intent, secret, grace_until)
        assert after.previous is not None
        return replace(after, previous=replace(after.previous, grace_until=grace_until))

    patch.setattr(rotation, "rotated", lenient)


def failure_is_an_empty_session(patch: pytest.MonkeyPatch) -> None:
    """The store is down, and so nobody is logged in."""

    def swallowed(self: Any, state: State, error: StoreError) -> None:
        state.status = Status.NEW

    patch.setattr(SessionManager, "_load_failed", swallowed)


def lost_write_called_saved(patch: pytest.MonkeyPatch) -> None:
    """An unknown outcome is taken for success."""
    send = Writing._send

    def hopeful(self: Any, request: Any, after: Record, version: Version, **rest: Any) -> Any:
        try:
            return (yield from send(self, request, after, version, **rest))
        except OutcomeUnknown:
            return writing._Stored(after, after.revision)

    patch.setattr(Writing, "_send", hopeful)


def fallback_keys_refused(patch: pytest.MonkeyPatch) -> None:
    """Only the newest key verifies: everybody is logged out when it is rotated."""
    find = TokenSigner._find_key

    def newest_only(self: Any, signed: bytes, signature: bytes) -> bool | None:
        return None if find(self, signed, signature) else False

    patch.setattr(TokenSigner, "_find_key", newest_only)


def cancelled_connection_put_back(patch: pytest.MonkeyPatch) -> None:
    """A cancelled task's place in the order of the replies is given up: all later ones shift.

    redis-py's CVE-2023-28858, in the terms of a shared connection.
    """
    left = Channel.left

    def gives_up(self: Any) -> None:
        self._waiting = deque(pair for pair in self._waiting if not pair[0].cancelled())
        left(self)

    patch.setattr(Channel, "left", gives_up)


def the_later_deadline_counts(patch: pytest.MonkeyPatch) -> None:
    """Of two requests that set deadlines at once, the one that commits last is obeyed."""
    patch.setattr(rotation, "_deadlines_differ", lambda record, base: False)


def secret_stretched(patch: pytest.MonkeyPatch) -> None:
    """The secret's hash is made slowly, like a password's, where there is one to compare with."""

    def slow(secret: bytes) -> bytes:
        hashlib.pbkdf2_hmac("sha256", secret, b"", 3000)
        return token.secret_hash(secret)

    patch.setattr(opening, "secret_hash", slow)


def bad_secret_looked_up_again(patch: pytest.MonkeyPatch) -> None:
    """A record that does not fit the token is read once more, in case it has changed."""
    load = Opening.load

    def twice(self: Any, state: State, now: float) -> Flow[None]:
        key = None if state.token is None else self._verbs.key(state.token.handle)
        yield from load(self, state, now)
        if opening.BAD_SECRET in (what for what, _ in state.reports) and key is not None:
            yield from self._verbs.load(key)

    patch.setattr(Opening, "load", twice)


def bad_secret_is_void(patch: pytest.MonkeyPatch) -> None:
    """Whoever has the handle of a session that exists is told so: their writes are refused."""
    load = Opening.load

    def void(self: Any, state: State, now: float) -> Flow[None]:
        token = state.token
        yield from load(self, state, now)
        if opening.BAD_SECRET in (what for what, _ in state.reports):
            state.status, state.token = Status.VOID, token

    patch.setattr(Opening, "load", void)


def token_with_something_behind_it(patch: pytest.MonkeyPatch) -> None:
    """What follows the signature is cut off: one token has many spellings."""
    verify = TokenSigner.verify

    def generous(self: Any, text: str, now: float) -> token.Token | None:
        return verify(self, text[: token.TOKEN_LENGTH], now)

    patch.setattr(TokenSigner, "verify", generous)


def authenticator_not_compared(patch: pytest.MonkeyPatch) -> None:
    """Whoever writes to the store writes the sessions."""
    patch.setattr(sealing, "_verify", lambda key, context, body: body[: -sealing.TAG_BYTES])


def depth_not_counted(patch: pytest.MonkeyPatch) -> None:
    """A value may nest as deep as its bytes reach."""
    patch.setattr(extensions, "MAX_DEPTH", 10**6)


def half_a_reply_is_one(patch: pytest.MonkeyPatch) -> None:
    """A line that has not ended yet is taken for a whole one."""
    parse = MetaParser.next

    def hasty(self: Any) -> Reply | None:
        reply = parse(self)
        if reply is None and self._data[self._at :].startswith(b"EN "):
            self._at = len(self._data)
            return Reply(Outcome.MISSING)
        return reply

    patch.setattr(MetaParser, "next", hasty)


def conflict_as_of_before(patch: pytest.MonkeyPatch) -> None:
    """Memcached refuses a compare-and-set, and what this process has read before is told."""
    load, replaces = commands.load, commands.replace
    read: dict[bytes, Entry | None] = {}

    def remembers(key: bytes, route: object = None) -> Flow[Entry | None]:
        read[key] = yield from load(key, route)
        return read[key]

    def hasty(
        key: bytes, value: bytes, ttl: float, version: Version, route: object = None
    ) -> Flow[Version | Conflict | Missing]:
        before = read.get(key)
        result = yield from replaces(key, value, ttl, version, route)
        return Conflict(before) if before and isinstance(result, Conflict) else result

    patch.setattr(commands, "load", remembers)
    patch.setattr(commands, "replace", hasty)


def missing_is_stored(patch: pytest.MonkeyPatch) -> None:
    """Memcached finds nothing to compare with, and that is taken for success."""
    replaced = commands._replaced

    def hopeful(reply: Reply) -> Version | Missing | None:
        result = replaced(reply)
        return reply.cas or 1 if isinstance(result, Missing) else result

    patch.setattr(commands, "_replaced", hopeful)


def refusal_is_gone(patch: pytest.MonkeyPatch) -> None:
    """Memcached refuses a compare-and-set, and nobody asks what is there: it must be gone."""

    def hasty(key: bytes, route: object) -> Flow[Conflict | Missing]:
        yield from ()
        return Missing()

    patch.setattr(commands, "_current", hasty)
