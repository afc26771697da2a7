"""Sees every change of the store, and says whether it may be: by the rules of ``__init__.py``.

An assertion's message begins with the number of the rule that is broken.
"""

from __future__ import annotations

from collections.abc import Callable

from sessionstore.core.state import Status
from sessionstore.core.verbs import Conflict, Deleted, Entry, Exists, Missing, Version
from sessionstore.stores.base import Store
from tests.model.behind import Behind, ByItsVerbs, Lose, at_once
from tests.model.calls import Call, Done, Effect
from tests.model.commits import Commit, Server
from tests.model.requests import Request
from tests.model.spec import (
    ABSOLUTE,
    CLOCK_SKEW,
    Kept,
    Reader,
    Spoiled,
    Stored,
    begun,
    ends_at_once,
    following,
    is_long_lived,
    issued_at,
    signed_by,
)
from tests.model.stepping import Sent, handle_in
from tests.support.scripted_store import Send


class Oracle:
    """What the store must hold.

    :param store: the real one, without faults
    :param now: the clock of the app servers
    :param behind: None: the store's own verbs tell what it holds
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        now: Callable[[], float],
        behind: Behind | None = None,
    ) -> None:
        self._store = store
        self._behind = behind or ByItsVerbs(store)
        self._read = reader
        self._now = now
        self.latest = 0.0
        """The latest absolute deadline that any app has asked for."""
        self.stored: dict[str, Kept | Spoiled] = {}
        self._known: set[str] = set()
        self._over: set[str] = set()
        """Handles of sessions of which a delete was acknowledged."""
        self._writer: dict[str, Call] = {}
        """What has changed each session last: it has two copies once that has returned."""
        self._alone: set[str] = set()
        """Handles of sessions that may have one copy only, or one that lags behind."""
        self._before_restart: set[str] = set()
        self._secrets: set[bytes] = set()
        self._writes: set[bytes] = set()

    # -- the store, looked at from beside --

    def bytes_of(self, handle: str) -> bytes | None:
        """What is stored under a handle."""
        return self._behind.value(self._store.key(handle))

    def current(self, handle: str) -> Stored:
        """What is stored under a handle, which must be what was stored last."""
        value = self.bytes_of(handle)
        expected = self.stored.get(handle)
        if value is None:
            if isinstance(expected, Kept):
                assert self.is_over(expected), "3: an acknowledged write is not there any more"
            self.stored.pop(handle, None)
            return None
        actual = self._read(handle, value)
        assert actual == expected, "9: something has changed that nobody wrote"
        return actual

    def is_over(self, stored: Stored) -> bool:
        """Whether its own deadlines have passed."""
        return isinstance(stored, Kept) and self._now() >= stored.deadline

    def lose(self, handle: str, what: Lose = Lose.ALL) -> None:
        """The store has evicted it, or an administrator has deleted it."""
        if handle not in self.stored:
            if handle in self._over:
                # A tombstone ends earlier than its session would have.
                self._behind.lose(self._store.key(handle), Lose.FIRST)
                assert self.bytes_of(handle) is None, "1: what was destroyed is there again"
            return
        before = self.current(handle)
        self._behind.lose(self._store.key(handle), what)
        value = self.bytes_of(handle)
        if what is not Lose.ALL and handle not in self._alone and before is not None:
            assert value is not None, "3: a session was lost with one of its two copies"
            assert self._read(handle, value) == before, "3: a write was lost with one of two copies"
        self._alone.add(handle)
        if value is None:
            self.stored.pop(handle, None)
        else:
            self.stored[handle] = self._read(handle, value)

    def restarted(self) -> None:
        """The store has lost everything, and counts its versions anew."""
        self.stored.clear()
        self._before_restart = set(self._known)

    def put(self, handle: str, value: bytes) -> None:
        """Somebody who can write to the store puts this under a handle."""
        if handle in self._before_restart:
            return  # a version of before may fit it: that a key is never used again prevents that
        self.lose(handle)
        at_once(self._store, self._store.create(self._store.key(handle), value, 1e6))
        self.stored[handle] = Spoiled(value)
        self._alone.add(handle)

    # -- reading --

    def find(self, request: Request, stored: Stored) -> tuple[Status, Kept | None]:
        """What a request's token must turn out to be, and the session if it is this client's.

        :param stored: what was found under its handle
        """
        if stored is None:
            return Status.NEW, None
        if isinstance(stored, Spoiled) or not request.server.reads(stored):
            return Status.VOID, None
        if self.is_over(stored):
            return Status.NEW, None
        if request.secret == stored.secret:
            return Status.LOADED, stored
        assert request.secret is not None
        if stored.previous is None or stored.previous[0] != request.secret[:8]:
            return Status.NEW, None
        in_grace = self._now() < stored.previous[1]
        return (Status.LOADED, stored) if in_grace else (Status.VOID, None)

    def accepts(self, server: Server, cookie: str | None) -> bool:
        """Whether a server must take this for a token."""
        if cookie is None or not signed_by(cookie, server.keys):
            return False
        age = self._now() - issued_at(cookie)
        return age >= -CLOCK_SKEW and (age <= ABSOLUTE or is_long_lived(cookie))

    # -- writing --

    def check_ttl(self, key: bytes, value: bytes, ttl: float) -> None:
        """A value is about to be stored."""
        stored = self._read(handle_in(key), value)
        assert isinstance(stored, Kept), "5: what is to be stored cannot be read"
        assert 0 < ttl <= stored.deadline - self._now(), "8: kept beyond its deadlines"
        latest = max(stored.created + ABSOLUTE, self.latest)
        assert stored.absolute <= latest, "8: beyond the absolute timeout"

    def witness(self, commit: Commit, done: Done, sent: Sent, send: Send) -> object:
        """Let a command be executed, and judge what it has changed."""
        before = self.current(done.handle)
        done.call.states.append(before)
        try:
            return send()
        except Exception:
            # The server's own: a script that it does not know, a table that is not there.
            done.fate = "answered by an error"
            raise
        finally:
            value = self.bytes_of(done.handle)
            after = None if value is None else self._read(done.handle, value)
            if after != before:
                assert sent.writes, "9: a read has changed something"
                if not self._is_back(done, after):
                    done.effect = self._judge(commit, done.handle, before, after)
                    self._writer[done.handle] = done.call
                    self._alone.add(done.handle)
            done.call.states.append(after)

    def ended(self, commit: Commit, call: Call) -> None:
        """A verb has returned, or failed: is that what has happened since it was called?

        With one command, that is one moment. With several, others may have come between: then what
        it says must have been so at one of its commands.
        """
        if not call.answered:
            return
        call.found = self._answer(call)
        handle = call.commands[-1].handle
        if call.verb == "load" and commit.status is Status.UNLOADED:
            self._loaded(commit, call.found)
        if call.verb == "delete" and call.found is None:
            self._over.add(handle)
        if call.found is not None and not call.short and self._writer.get(handle) is call:
            self._alone.discard(handle)

    def _answer(self, call: Call) -> Stored:
        """What is stored, by what a verb has returned."""
        result, handle = call.result, call.commands[-1].handle
        match result:
            case None | Missing():
                assert None in call.states, "1, 3: called missing, and it was there all the time"
                return None
            case Exists():
                assert any(call.states), "called taken, and it was free all the time"
                return None
            case Deleted():
                assert call.did("deleted", None), "11: called deleted, and it is not"
                return None
            case Conflict(entry) | (Entry() as entry):
                found = self._read(handle, entry.value)
                assert found in call.states, "3: what was found is not what was stored"
                refused = not isinstance(result, Conflict) or not _same(entry, call.version)
                assert refused, "4: a conflict with what was compared with"
                return found
            case _:
                assert call.value is not None
                stored = self._read(handle, call.value)
                kind = "created" if call.verb == "create" else "replaced"
                assert call.did(kind, stored), "11: called stored, and it is not"
                return stored

    def _loaded(self, commit: Commit, found: Stored) -> None:
        # A logout of a session that nobody had looked at.
        status, stored = self.find(commit.request, found)
        commit.status = status
        if stored is not None:
            commit.loaded(stored)
            commit.request.loaded(stored)

    def _is_back(self, done: Done, after: Stored) -> bool:
        """Whether what this call has seen, and was lost on one server, is now at the other one."""
        if not isinstance(after, Kept) or after not in done.call.states:
            return False
        assert done.handle not in self._over, "1: what was destroyed is there again"
        self.stored[done.handle] = after
        return True

    def _judge(self, commit: Commit, handle: str, before: Stored, after: Stored) -> Effect:
        if before is None:
            assert isinstance(after, Kept), "5: what was stored cannot be read"
            self._created(commit, handle, after)
            kind = "created"
        elif after is None:
            self._deleted(commit, handle, before)
            kind = "deleted"
        else:
            assert isinstance(after, Kept), "5: what was stored cannot be read"
            self._replaced(commit, handle, before, after)
            kind = "replaced"
        if after is None:
            del self.stored[handle]
        else:
            self.stored[handle] = after
        return Effect(kind, handle, before, after)

    def _fresh(self, after: Kept, *, new_secret: bool) -> None:
        assert after.writes[0] not in self._writes, "a revision was used twice"
        self._writes.add(after.writes[0])
        assert (after.secret not in self._secrets) is new_secret, "7: an old secret opens it"
        self._secrets.add(after.secret)

    def _created(self, commit: Commit, handle: str, after: Kept) -> None:
        assert handle not in self._known, "2: a session that has ended is there again"
        self._known.add(handle)
        self._fresh(after, new_secret=True)
        wanted = commit.wanted
        assert wanted.changed or wanted.login or wanted.force, "10: stored without being written"
        assert not commit.headers_sent, "a session was begun whose cookie cannot be sent"
        self._may_begin(commit)
        own = {name: wanted.values[name] for name in wanted.own}
        assert after == begun(wanted, own, after, commit.request.server.key_ids[0])

    def _may_begin(self, commit: Commit) -> None:
        """Whether there is no session yet, or this request begins another with good reason."""
        wanted = commit.wanted
        if commit.status is Status.NEW:
            return
        current = self.current(commit.handle or "")
        if commit.status is Status.LOADED and wanted.changes_hands:
            # It logs in where its session has gone, or leaves one that it may not rotate.
            ours = isinstance(current, Kept) and commit.claims(current) and commit.proves(current)
            ended = self.is_over(current)
            assert ended or not ours, "7: another session is begun beside one's own"
        elif commit.status is Status.LOADED and wanted.destroy:
            gone = current is None or isinstance(current, Spoiled)
            assert gone, "2: goes on after its end"
        else:
            assert commit.status is Status.VOID and wanted.login, "2: goes on after its end"

    def _replaced(self, commit: Commit, handle: str, before: Stored, after: Kept) -> None:
        assert isinstance(before, Kept), "5: a record that cannot be read was overwritten"
        assert handle == commit.handle, "6: another session was written"
        assert commit.claims(before), "2, 7: written to a session that is not this request's"
        assert commit.wanted.now < before.deadline, "8: prolonged after its deadline"
        assert not commit.wanted.destroy, "11: a session to be destroyed was written"
        assert all(effect.kind == "created" for effect in commit.effects), "4: written twice"
        wanted = commit.wanted
        assert not wanted.changes_hands or commit.proves(before), "7: an old token signs in or out"
        new_secret = commit.rotates(before)
        assert not (new_secret and commit.headers_sent), "rotated, and no cookie can be sent"
        self._fresh(after, new_secret=new_secret)
        assert wanted.writes or commit.touch_is_due, "9: a read was written"
        key_id = commit.request.server.key_ids[0]
        expected = following(
            before,
            wanted,
            after,
            key_id,
            new_secret=new_secret,
            leaves_key_behind=commit.leaves_key_behind(before),
        )
        assert after == expected, "4, 9: not what was stored, with this request's changes"

    def _deleted(self, commit: Commit, handle: str, before: Stored) -> None:
        assert isinstance(before, Kept), "5: a record that cannot be read was deleted"
        assert handle == commit.handle, "6: another session was deleted"
        assert commit.claims(before), "7: a session that is not this request's was ended"
        wanted = commit.wanted
        if wanted.destroy:
            return
        if wanted.now >= before.deadline or ends_at_once(before, wanted):
            return
        assert wanted.writes, "9: a read has deleted a session"
        if wanted.leaves and not commit.proves(before):
            return
        assert not commit.request.keeps_empty, "3: a session was deleted unasked"
        subject = wanted.login if wanted.changes_hands else before.subject
        assert subject is None and not wanted.merged(before), "3: a session was deleted unasked"


def _same(entry: Entry, version: Version | None) -> bool:
    """Whether an entry has this version. A number of Memcached's is its server's."""
    servers = [getattr(it, "node", None) for it in (entry.version, version)]
    return entry.version == version and servers[0] is servers[1]
