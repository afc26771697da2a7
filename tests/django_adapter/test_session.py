"""The session object by itself: what Django's own tests do not ask. Each test in both modes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.sessions.backends.base import CreateError, UpdateError
from django.template import Context, Engine
from django.test import override_settings
from django.utils import timezone

from sessionstore import (
    SessionGone,
    SessionTooLarge,
    StoreUnavailable,
    UnstorableValue,
)
from sessionstore.core.flow import run
from sessionstore.core.state import State
from sessionstore.core.token import TokenSigner, handle_text
from sessionstore.django import SessionStore
from tests.django_adapter.conftest import RecordingStore
from tests.support.django_project import SECRET

Do = Callable[..., Any]


@pytest.fixture(params=["sync", "async"])
def do(request: pytest.FixtureRequest) -> Do:
    """Calls a method of a session, or its asynchronous twin."""

    def sync(session: SessionStore, name: str, *arguments: Any, **options: Any) -> Any:
        return getattr(session, name)(*arguments, **options)

    def asynchronous(session: SessionStore, name: str, *arguments: Any, **options: Any) -> Any:
        return asyncio.run(getattr(session, f"a{name}")(*arguments, **options))

    return sync if request.param == "sync" else asynchronous


def stored(**values: Any) -> str:
    """The token of a new stored session."""
    session = SessionStore()
    session.update(values)
    session.save()
    assert session.session_key is not None
    return session.session_key


def logged_in(user: str = "7", **values: Any) -> str:
    session = SessionStore(stored(**values))
    session.login(user)
    assert session.session_key is not None
    return session.session_key


# -- the key --


def test_the_key_is_the_token_and_the_handle_its_public_part(do: Do) -> None:
    session = SessionStore()
    assert session.session_key is None
    do(session, "save")
    assert len(str(session.session_key)) == 111
    assert str(session.session_key).startswith(f"{session.handle}.")


def test_the_key_stays_while_nothing_rotates(do: Do) -> None:
    session = SessionStore(key := stored(a=1))
    do(session, "set" if do.__name__ == "asynchronous" else "__setitem__", "b", 2)
    do(session, "save")
    assert session.session_key == key


UNKNOWN = [
    "12345678",
    "x" * 111,
    "a.b.c",
    "\x00" * 20,
    "é" * 111,
    "x" * 100_000,
]


@pytest.mark.parametrize("key", UNKNOWN, ids=range(len(UNKNOWN)))
def test_a_key_that_is_not_ours_is_quietly_unknown(do: Do, store: RecordingStore, key: str) -> None:
    session = SessionStore(key)
    assert do(session, "get", "x") is None
    assert session.session_key is None
    assert not do(session, "exists", key)
    do(session, "delete", key)
    assert store.verbs == []


def test_a_signed_key_without_a_record_is_unknown_and_never_adopted(
    do: Do, store: RecordingStore
) -> None:
    signer = TokenSigner(SECRET.encode(), absolute_timeout=10**6)
    token = signer.mint(handle_text(b"chosen here!"), b"s" * 32, 0, datetime.now(UTC).timestamp())
    session = SessionStore(token.text)
    assert do(session, "load") == {}
    assert session.session_key is None
    assert store.verbs == ["load"]
    do(session, "save")
    assert session.handle != token.handle
    assert session.session_key is not None


def test_fallback_keys_verify_and_the_next_save_signs_anew(do: Do) -> None:
    key = stored(a=1)
    with override_settings(SECRET_KEY="n" * 40, SECRET_KEY_FALLBACKS=[SECRET]):
        session = SessionStore(key)
        assert do(session, "get", "a") == 1
        session["b"] = 2
        do(session, "save")
        assert session.session_key != key
        assert session.handle == key[:16]
        new_key = session.session_key
    with override_settings(SECRET_KEY="n" * 40):
        assert dict(SessionStore(new_key).items()) == {"a": 1, "b": 2}
        assert SessionStore(key).get("a") is None


# -- create, save, must_create --


def test_save_of_a_new_session_creates_it_even_if_empty(do: Do, store: RecordingStore) -> None:
    session = SessionStore()
    do(session, "save")
    assert store.verbs == ["create"]
    assert do(SessionStore(), "exists", session.session_key)


def test_create_begins_another_session_with_the_values_at_hand(do: Do) -> None:
    session = SessionStore(key := stored(a=1))
    assert session["a"] == 1
    do(session, "create")
    assert session.session_key != key
    assert dict(SessionStore(session.session_key).items()) == {"a": 1}
    assert dict(SessionStore(key).items()) == {"a": 1}


def test_must_create_of_a_stored_session_is_an_error(do: Do) -> None:
    for session in (SessionStore(stored(a=1)), SessionStore(stored(a=1))):
        with pytest.raises(CreateError):
            do(session, "save", must_create=True)


def test_must_create_of_a_stored_session_that_was_not_read_leaves_it_as_it_is(do: Do) -> None:
    session = SessionStore(key := stored(a=1))
    with pytest.raises(CreateError):
        do(session, "save", must_create=True)
    assert not session.modified
    session.finish(save=True)
    assert dict(SessionStore(key).items()) == {"a": 1}


def test_an_emptied_session_stays_stored(do: Do) -> None:
    session = SessionStore(key := stored(a=1))
    del session["a"]
    do(session, "save")
    assert session.session_key == key
    assert do(SessionStore(), "exists", key)
    assert SessionStore(key).load() == {}


def test_clear_keeps_the_session_but_not_its_login(do: Do) -> None:
    session = SessionStore(key := logged_in("7", a=1))
    session.clear()
    session["b"] = 2
    do(session, "save")
    assert session.handle == key[:16]
    assert session.subject is None
    assert dict(SessionStore(session.session_key).items()) == {"b": 2}
    assert not do(SessionStore(), "exists", key)


def test_an_explicit_save_stores_what_modified_false_had_hidden(do: Do) -> None:
    session = SessionStore(key := stored(a=[1]))
    session["a"].append(2)
    session["b"] = 1
    session.modified = False
    assert not session.modified
    session["a"].append(3)
    assert session.modified
    session.modified = False
    do(session, "save")
    assert dict(SessionStore(key).items()) == {"a": [1, 2, 3], "b": 1}


def test_changes_inside_a_value_are_found(do: Do) -> None:
    session = SessionStore(key := stored(cart={"n": [1]}))
    assert not session.modified
    do(session, "get", "cart")["n"].append(2)
    assert session.modified
    do(session, "save")
    assert SessionStore(key)["cart"] == {"n": [1, 2]}


def test_a_value_that_cannot_be_stored_is_named_and_counts_as_a_change(do: Do) -> None:
    session = SessionStore(key := stored(cart={}))
    session["cart"]["x"] = object()
    assert session.modified
    with pytest.raises(UnstorableValue, match=r"cart\.x"):
        do(session, "save")
    session["cart"] = "x" * 300_000
    with pytest.raises(SessionTooLarge):
        do(session, "save")
    assert dict(SessionStore(key).items()) == {"cart": {}}


def test_two_objects_with_different_changes_lose_none(do: Do) -> None:
    one, two = SessionStore(key := stored(a=1)), SessionStore(key)
    assert one["a"] == two["a"] == 1
    one["x"], two["y"] = 1, 2
    do(one, "save")
    do(two, "save")
    assert dict(SessionStore(key).items()) == {"a": 1, "x": 1, "y": 2}


def test_one_object_loaded_in_async_code_and_saved_in_sync_code() -> None:
    session = SessionStore(key := stored(a=[1]))
    asyncio.run(session.aget("a")).append(2)
    session.save()
    session["a"].append(3)
    asyncio.run(session.asave())
    assert SessionStore(key)["a"] == [1, 2, 3]


# -- load --


def test_load_gives_a_plain_dict_of_its_own(do: Do) -> None:
    session = SessionStore(stored(a=[1]))
    loaded = do(session, "load")
    assert type(loaded) is dict
    loaded["a"].append(2)
    assert do(session, "get", "a") == [1]
    assert not session.modified


def test_loading_again_does_not_make_a_late_save_overwrite(do: Do) -> None:
    session, other = SessionStore(key := stored(a=1)), SessionStore(key)
    assert session["a"] == 1
    other["a"] = 2
    other.save()
    assert do(session, "load") == {"a": 2}
    session["b"] = 1
    do(session, "save")
    assert dict(SessionStore(key).items()) == {"a": 2, "b": 1}


# -- exists and delete: only the current token --


def test_a_superseded_key_is_absent_and_its_deletion_does_nothing(do: Do) -> None:
    session = SessionStore(old := stored(a=1))
    do(session, "cycle_key")
    assert session.session_key != old
    assert not do(SessionStore(), "exists", old)  # though it still reads, for its grace
    do(SessionStore(), "delete", old)
    assert do(SessionStore(), "exists", session.session_key)
    do(session, "login", "7")
    do(SessionStore(), "delete", old)
    assert do(SessionStore(), "exists", session.session_key)


def test_a_save_after_its_own_delete_comes_too_late(do: Do) -> None:
    session = SessionStore(stored(a=1))
    assert session["a"] == 1
    do(session, "delete")
    with pytest.raises(UpdateError):
        do(session, "save")


@pytest.mark.parametrize("how", ["flush", "delete", "logout", "destroy"])
def test_a_save_after_another_objects_end_is_an_update_error(do: Do, how: str) -> None:
    session, other = SessionStore(key := stored(a=1)), SessionStore(key)
    assert session["a"] == 1
    do(other, how)
    session["b"] = 1
    with pytest.raises(UpdateError) as caught:
        do(session, "save")
    assert isinstance(caught.value, SessionGone)
    assert key not in str(caught.value)
    assert not do(session, "exists", key)


def test_deleting_nothing(do: Do, store: RecordingStore) -> None:
    do(SessionStore(), "delete")
    do(SessionStore(), "flush")
    assert not do(SessionStore(), "exists", None)
    assert store.verbs == []


# -- a superseded key --


def test_a_superseded_key_reads_as_empty_and_stays(do: Do) -> None:
    old = stored(a=1)
    SessionStore(old).login("7")
    session = SessionStore(old)
    assert do(session, "get", "a") is None
    assert session.session_key == old
    assert not session.is_empty()  # or Django's middleware would delete the new cookie
    session["b"] = 1
    with pytest.raises(UpdateError):
        do(session, "save")


def test_a_superseded_key_saved_unchanged_is_told_too(do: Do) -> None:
    """Django's middleware would send the key again after a save that returns."""
    old = stored(a=1)
    SessionStore(old).login("7")
    with pytest.raises(UpdateError):
        do(SessionStore(old), "save")


def test_cycle_key_of_a_superseded_key_does_nothing_and_a_login_begins_afresh(do: Do) -> None:
    old = stored(a=1)
    SessionStore(old).login("7")
    session = SessionStore(old)
    do(session, "cycle_key")
    assert session.session_key == old
    session["_auth_user_id"] = "8"
    session["mine"] = 1
    do(session, "save")
    assert session.handle != old[:16]
    assert session.subject == "8"
    assert dict(SessionStore(session.session_key).items()) == {"_auth_user_id": "8", "mine": 1}


def test_cycle_key_of_a_session_that_has_gone_keeps_only_this_requests_values(do: Do) -> None:
    session = SessionStore(key := stored(a=1))
    session["mine"] = 1
    SessionStore(key).flush()
    do(session, "cycle_key")
    assert dict(session.items()) == {"mine": 1}
    session["_auth_user_id"] = "8"
    do(session, "save")
    assert dict(SessionStore(session.session_key).items()) == {"_auth_user_id": "8", "mine": 1}


def test_cycle_key_of_a_session_that_has_gone_is_no_rescue(do: Do) -> None:
    session = SessionStore(key := stored(a=1))
    assert session["a"] == 1
    SessionStore(key).flush()
    do(session, "cycle_key")
    session["b"] = 1
    with pytest.raises(UpdateError):
        do(session, "save")


# -- rotation --


@pytest.mark.parametrize("name", ["cycle_key", "rotate"])
def test_rotation_is_one_write_that_keeps_handle_and_values(
    do: Do, store: RecordingStore, name: str
) -> None:
    session = SessionStore(old := stored(a=1))
    with store.counted() as verbs:
        do(session, name)
        do(session, "save")
    assert verbs == ["load", "replace"]
    assert session.modified  # so that Django's middleware sends the new key
    assert session.session_key != old
    assert session.handle == old[:16]
    assert SessionStore(session.session_key)["a"] == 1
    assert SessionStore(old)["a"] == 1  # for `rotation_grace` seconds, parallel requests


def test_cycle_key_of_a_new_session_creates_it(do: Do, store: RecordingStore) -> None:
    session = SessionStore()
    session["a"] = 1
    do(session, "cycle_key")
    assert store.verbs == ["create"]
    assert SessionStore(session.session_key)["a"] == 1


def test_of_two_rotations_one_wins_and_nobody_is_logged_out(do: Do) -> None:
    one, two = SessionStore(key := logged_in("7")), SessionStore(key)
    assert one.subject == two.subject == "7"
    do(one, "cycle_key")
    do(two, "cycle_key")
    assert two.session_key == key
    assert two.finish(save=True) is None  # no cookie from the loser
    assert SessionStore(one.session_key).subject == "7"


# -- login --


@pytest.mark.parametrize("name", ["login", "_auth_user_id"])
def test_a_login_is_one_write_and_kills_the_old_key(
    do: Do, store: RecordingStore, name: str
) -> None:
    session = SessionStore(old := stored(cart=[1]))
    with store.counted() as verbs:
        if name == "login":
            do(session, "login", 7)
        else:
            session[name] = "7"
            do(session, "save")
    assert verbs == ["load", "replace"]
    assert session.subject == "7"
    assert session.authenticated is not None
    assert session["cart"] == [1]
    assert SessionStore(session.session_key).subject == "7"
    assert SessionStore(old).subject is None


def test_another_users_values_do_not_stay(do: Do) -> None:
    session = SessionStore(logged_in("7", secret=1, same=1, equal=1))
    session["kept"] = 1
    do(session, "set" if do.__name__ == "asynchronous" else "__setitem__", "same", 1)
    do(session, "update", {"equal": 1})
    do(session, "login", "8")
    assert dict(session.items()) == {"kept": 1, "same": 1, "equal": 1}
    assert SessionStore(session.session_key).load() == {"kept": 1, "same": 1, "equal": 1}


def test_a_login_in_a_new_session(do: Do, store: RecordingStore) -> None:
    session = SessionStore()
    assert session.is_new
    do(session, "login", "7")
    assert store.verbs == ["create"]
    assert (session.subject, session.is_new, session.available) == ("7", False, True)
    assert session.created is not None


# -- flush --


@pytest.mark.parametrize("name", ["flush", "logout", "destroy"])
def test_logout_checks_the_secret_and_deletes(do: Do, store: RecordingStore, name: str) -> None:
    session = SessionStore(key := logged_in("7", a=1))
    with store.counted() as verbs:
        do(session, name)
    assert verbs == ["load", "delete"]
    assert session.session_key is None
    assert (session.subject, session.handle, dict(session.items())) == (None, None, {})
    assert SessionStore(key).load() == {}
    session["b"] = 1
    do(session, "save")
    assert session.handle != key[:16]


@pytest.mark.parametrize("verb", ["load", "delete"])
def test_a_failed_logout_is_an_error_and_the_key_is_gone_all_the_same(
    do: Do, store: RecordingStore, verb: str
) -> None:
    session = SessionStore(key := logged_in("7"))
    store.fails_on = {verb}
    with pytest.raises(StoreUnavailable):
        do(session, "flush")
    assert session.session_key is None
    assert session.is_empty()
    assert session.cookie_after_failure() is not None
    assert (session.subject, session.handle, session.created) == (None, None, None)
    assert session.is_new
    store.fails_on = set()
    session["b"] = 1
    do(session, "save")  # and it is tried again before another begins
    assert not do(session, "exists", key)
    assert session.handle != key[:16]


def test_a_logout_with_a_superseded_key_ends_nothing(do: Do) -> None:
    old = stored(a=1)
    new = SessionStore(old)
    new.login("7")
    session = SessionStore(old)
    do(session, "flush")
    assert session.session_key is None
    assert SessionStore(new.session_key).subject == "7"
    assert session.finish(save=True) is None


def test_a_failed_read_is_not_waited_for_twice(do: Do, store: RecordingStore) -> None:
    session = SessionStore(stored(a=1))
    store.down = True
    with store.counted() as verbs:
        for _ in range(3):
            with pytest.raises(StoreUnavailable):
                do(session, "get", "a")
    assert verbs == ["load"]


def test_anonymous_service(do: Do, store: RecordingStore) -> None:
    key = stored(a=1)
    with override_settings(SESSIONSTORE={"STORE": store, "ON_UNAVAILABLE": "anonymous"}):
        store.down = True
        session = SessionStore(key)
        assert do(session, "get", "a") is None
        assert not session.available
        assert session.session_key == key
        session["b"] = 1
        do(session, "save")
        assert session.finish(save=True) is None
        with pytest.raises(StoreUnavailable):
            do(SessionStore(key), "flush")
        with pytest.raises(StoreUnavailable):
            do(SessionStore(key), "delete")


# -- expiry --


def record_of(session: SessionStore) -> Any:
    fresh = SessionStore(session.session_key)
    fresh.load()
    assert fresh._state is not None
    return fresh._state.record


@override_settings(SESSION_COOKIE_AGE=1000)
def test_the_cookies_age_is_the_idle_timeout_of_new_sessions(do: Do) -> None:
    session = SessionStore()
    do(session, "save")
    assert record_of(session).idle == 1000
    assert not record_of(session).browser


@override_settings(SESSION_COOKIE_AGE=1000, SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
def test_browser_sessions(do: Do) -> None:
    session = SessionStore()
    do(session, "save")
    assert record_of(session).browser
    do(session, "set_expiry", 50)
    do(session, "save")
    assert (record_of(session).idle, record_of(session).browser) == (50, False)
    do(session, "set_expiry", None)
    do(session, "save")
    assert (record_of(session).idle, record_of(session).browser) == (1000, True)


@override_settings(SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
def test_a_login_that_begins_another_session_keeps_to_the_browser(do: Do) -> None:
    """Two logins at once: the slower one finds the session taken."""
    session = SessionStore(key := stored(a=1))
    session["_auth_user_id"] = "7"
    SessionStore(key).login("8")
    do(session, "save")
    assert session.handle != key[:16]
    assert record_of(session).browser


@override_settings(SESSION_COOKIE_AGE=1000)
def test_expiry_zero_means_until_the_browser_closes(do: Do) -> None:
    session = SessionStore(stored(a=1))
    do(session, "set_expiry", 0)
    do(session, "save")
    assert (record_of(session).idle, record_of(session).browser) == (1000, True)


@pytest.mark.parametrize("use_tz", [True, False])
@pytest.mark.parametrize("as_moment", [True, False])
def test_an_expiry_at_a_moment_is_absolute(do: Do, use_tz: bool, as_moment: bool) -> None:
    with override_settings(USE_TZ=use_tz):
        session = SessionStore(stored(a=1))
        moment = timezone.now() + timedelta(days=90)
        do(session, "set_expiry", moment if as_moment else timedelta(days=90))
        do(session, "save")
        record = record_of(session)
        assert record.absolute == pytest.approx(moment.timestamp(), abs=2)
        assert record.idle == pytest.approx(90 * 86400, abs=2)


@pytest.mark.parametrize("expiry", [-1, -3600, timedelta(seconds=-10)])
def test_an_expiry_in_the_past_ends_it_at_once(do: Do, expiry: Any) -> None:
    begun = SessionStore()
    do(begun, "set_expiry", expiry)
    do(begun, "save")
    assert begun.session_key is not None  # Django's middleware sends it, with its negative age
    assert not do(begun, "exists", begun.session_key)
    session = SessionStore(key := stored(a=1))
    do(session, "set_expiry", expiry)
    do(session, "save")
    assert not do(session, "exists", key)


def test_timeouts_of_another_framework_stay(do: Do) -> None:
    with override_settings(SESSION_COOKIE_AGE=5000):
        session = SessionStore(stored(a=1))
    with override_settings(SESSION_COOKIE_AGE=1000):
        for change in (lambda: do(session, "cycle_key"), lambda: do(session, "login", "7")):
            session["b"] = 1
            change()
            assert record_of(session).idle == 5000


def test_an_explicit_expiry_survives_the_login_after_it(do: Do) -> None:
    session = SessionStore(stored(a=1))
    moment = timezone.now() + timedelta(hours=1)
    session.set_expiry(moment)
    do(session, "cycle_key")  # as contrib.auth does
    session["_auth_user_id"] = "7"
    do(session, "save")
    assert record_of(session).absolute == pytest.approx(moment.timestamp(), abs=2)


def test_clear_takes_the_expiry_along(do: Do) -> None:
    session = SessionStore()
    session.set_expiry(50)
    session.save()
    session = SessionStore(session.session_key)
    session.clear()
    do(session, "save")
    assert record_of(session).idle == 14 * 86400


def test_a_subclass_may_say_how_long_its_cookies_last(do: Do) -> None:
    class Short(SessionStore):
        def get_session_cookie_age(self) -> int:
            return 77

    session = Short()
    do(session, "save")
    assert record_of(session).idle == 77


# -- the rest --


def test_templates_cannot_end_a_session() -> None:
    session = SessionStore(key := logged_in("7"))
    names = ["flush", "logout", "login", "rotate", "destroy", "cycle_key", "handle"]
    source = "".join(f"{{{{ session.{name} }}}}" for name in names)
    page = Engine().from_string(source).render(Context({"session": session}))
    assert page == session.handle
    assert SessionStore(key).subject == "7"
    for name in names[:-1]:
        assert getattr(SessionStore, f"a{name}").alters_data


def test_whoever_shows_the_key_or_asks_for_a_session_varies_by_cookie() -> None:
    session = SessionStore(stored())
    assert not session.accessed
    assert session.session_key
    assert session.accessed
    session = SessionStore(stored())
    assert session.handle
    assert session.accessed


def test_no_method_hops_to_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no `a*` method of Django's base class that does is left."""
    import asgiref.sync

    def forbidden(*arguments: Any, **options: Any) -> Any:
        raise AssertionError("a thread hop")

    monkeypatch.setattr(asgiref.sync.SyncToAsync, "__call__", forbidden)

    async def everything() -> None:
        session = SessionStore()
        await session.aset("a", 1)
        await session.aupdate({"b": 1})
        await session.asave()
        await session.acreate()
        assert await session.aexists(session.session_key)
        await session.acycle_key()
        await session.aset_expiry(10)
        assert await session.aget_expiry_age() == 10
        assert await session.aload()
        await session.alogin("7")
        await session.arotate()
        await session.aset_test_cookie()
        assert await session.atest_cookie_worked()
        await session.adelete()
        await session.aflush()
        await session.alogout()
        await session.aclear_expired()
        await session.afinish(save=True)

    asyncio.run(everything())


def test_expired_sessions_are_purged_where_the_store_does_not_do_so(do: Do, tmp_path: Any) -> None:
    from django.core.management import call_command

    from sessionstore import open_store

    now = [1_800_000_000.0]
    store = open_store(f"sqlite:///{tmp_path}/sessions.db", clock=lambda: now[0], timeout=5)
    value = b"\x01" + b"r" * 12
    with override_settings(SESSIONSTORE={"STORE": store}):
        for number, ttl in enumerate((10, 10, 1000)):
            flow = store.create(store.key(f"handle-{number}"), value, ttl)
            run(flow, lambda command: store.execute(command, float("inf")))
        now[0] += 100
        do(SessionStore(), "clear_expired")
        assert len(list(store.keys())) == 1  # type: ignore[attr-defined]
        call_command("clearsessions")
    store.close()


# -- single values --


def test_single_values_are_read_without_the_rest(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = SessionStore(stored(user="7", n=1, cart=[1]))
    del store.verbs[:]
    with monkeypatch.context() as patch:
        patch.setattr(State, "decode_attributes", None)
        patch.setattr(State, "delta", None)  # nor is anything compared at the end
        assert (session["user"], session.get("n"), session["user"]) == ("7", 1, "7")
        assert session.finish(save=True) is None
    assert session.accessed
    assert (session.get("x"), session.get("x", 5)) == (None, 5)
    assert dict(session.items()) == {"user": "7", "n": 1, "cart": [1]}
    assert store.verbs == ["load"]


@pytest.mark.parametrize(
    "change",
    [
        lambda session: session["cart"].append(2),
        lambda session: session.get("cart").append(2),
        lambda session: session.__setitem__("cart", [1, 2]),
        lambda session: session.setdefault("cart", 5).append(2),
    ],
    ids=["in place", "in place by get", "set", "in place by setdefault"],
)
def test_a_change_after_a_single_value_is_stored(change: Any, store: RecordingStore) -> None:
    session = SessionStore(key := stored(user="7", cart=[1]))
    assert session["user"] == "7"
    del store.verbs[:]
    change(session)
    session.finish(save=True)
    assert store.verbs == ["replace"]
    assert dict(SessionStore(key).items()) == {"user": "7", "cart": [1, 2]}


def test_after_a_single_value_a_rotation_loads_nothing_more(do: Do, store: RecordingStore) -> None:
    session = SessionStore(stored(user="7"))
    assert session["user"] == "7"
    del store.verbs[:]
    do(session, "cycle_key")
    assert store.verbs == ["replace"]
    assert session["user"] == "7"


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("aget", ("n",)),
        ("aset", ("n", 1)),
        ("aupdate", ({"n": 1},)),
        ("apop", ("x", None)),
        ("asetdefault", ("n", 5)),
        ("ahas_key", ("n",)),
        ("akeys", ()),
        ("avalues", ()),
        ("aitems", ()),
        ("aget_expiry_age", ()),
    ],
)
def test_after_a_single_value_no_asynchronous_method_loads_anything_more(
    method: str, arguments: tuple[Any, ...], store: RecordingStore
) -> None:
    session = SessionStore(key := stored(user="7", n=1))
    assert session["user"] == "7"
    other = SessionStore(key)
    other["n"] = 2
    other.save()
    del store.verbs[:]
    asyncio.run(getattr(session, method)(*arguments))
    assert store.verbs == []
    if method not in {"aset", "aupdate", "apop"}:
        assert not session.modified, "what another request has written is no change of this one's"
        session.finish(save=True)
        assert SessionStore(key)["n"] == 2


def test_a_missing_value_is_a_key_error_and_another_key_another_session() -> None:
    session = SessionStore(stored(a=1))
    with pytest.raises(KeyError, match="x"):
        session["x"]
    session = SessionStore(stored(a=1))
    assert session["a"] == 1
    session._session_key = stored(a=2)
    assert session["a"] == 2


def test_a_subclass_that_loads_in_its_own_way_is_asked_for_all() -> None:
    class Upper(SessionStore):
        def load(self) -> dict[str, Any]:
            return {name: str(value).upper() for name, value in super().load().items()}

    session = Upper(stored(a="x"))
    assert (session["a"], session.get("a")) == ("X", "X")
