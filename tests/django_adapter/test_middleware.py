"""A request from cookie to Set-Cookie, over WSGI and ASGI: our middleware, and Django's own."""

from __future__ import annotations

import threading
from inspect import iscoroutinefunction
from typing import Any

import pytest
from django.contrib.sessions.backends.base import SessionBase
from django.contrib.sessions.backends.signed_cookies import SessionStore as ForeignStore
from django.http import HttpRequest, HttpResponse
from django.utils.decorators import sync_and_async_middleware

from sessionstore import StoreUnavailable
from sessionstore.django import SessionStore
from tests.django_adapter.conftest import OURS, STOCK, MakeSite, RecordingStore
from tests.django_adapter.test_session import logged_in, stored

both = pytest.mark.parametrize("middleware", [OURS, STOCK], ids=["ours", "stock"])


def nothing(request: HttpRequest) -> str:
    return "done"


def read(request: HttpRequest) -> Any:
    return request.session.get("a")


def write(request: HttpRequest) -> str:
    request.session["b"] = 1
    return "done"


def log_out(request: HttpRequest) -> str:
    request.session.flush()
    return "done"


def log_in(request: HttpRequest) -> str:
    request.session.login("7")
    return "done"


def rotate(request: HttpRequest) -> str:
    request.session.cycle_key()
    return "done"


def cookie_of(answer: Any) -> str:
    """The one Set-Cookie of an answer."""
    (cookie,) = [value for name, value in answer.headers if name.lower() == "set-cookie"]
    return str(cookie).lstrip()  # Django writes a space before it


def has_cookie(answer: Any) -> bool:
    return answer.header("Set-Cookie") is not None


# -- the number of store commands (DESIGN.md, section 7) --


@both
@pytest.mark.parametrize(
    ("action", "cookie", "commands"),
    [
        (nothing, None, []),
        (read, None, []),
        (nothing, "junk", []),
        (read, "junk", []),
        (nothing, "valid", []),
        (read, "valid", ["load"]),
        (write, "valid", ["load", "replace"]),
        (write, None, ["create"]),
        (log_in, "valid", ["load", "replace"]),
        (rotate, "valid", ["load", "replace"]),
        (log_out, "valid", ["load", "delete"]),
        (log_out, None, []),
    ],
)
def test_commands_per_request(
    make_site: MakeSite,
    store: RecordingStore,
    middleware: str,
    action: Any,
    cookie: str | None,
    commands: list[str],
) -> None:
    site = make_site(action, middleware)
    key = stored(a=1) if cookie == "valid" else cookie
    with store.counted() as verbs:
        assert site.get(key).status == 200
    assert verbs == commands


def test_asgi_saves_in_the_event_loops_own_thread(
    make_site: MakeSite, store: RecordingStore
) -> None:
    threads = set()

    async def action(request: HttpRequest) -> str:
        threads.add(threading.get_ident())
        await request.session.aset("b", await request.session.aget("a"))
        return "done"

    site = make_site(action)
    if site.mode == "wsgi":
        return
    key = stored(a=1)
    store.sync_calls = 0
    assert site.get(key).status == 200
    assert store.async_threads == threads
    assert store.sync_calls == 0
    assert SessionStore(key)["b"] == 1


# -- what changes --


@both
def test_a_change_inside_a_value_is_saved(make_site: MakeSite, middleware: str) -> None:
    key = stored(cart={"n": [1]})
    site = make_site(lambda request: request.session["cart"]["n"].append(2), middleware)
    assert has_cookie(site.get(key))
    assert SessionStore(key)["cart"] == {"n": [1, 2]}


@both
def test_requests_at_once_lose_nothing(make_site: MakeSite, middleware: str) -> None:
    key = stored(a=1)

    def action(request: HttpRequest) -> str:
        assert request.session["a"] == 1
        other = SessionStore(key)
        other["theirs"] = 1
        other.save()
        request.session["ours"] = 1
        return "done"

    assert make_site(action, middleware).get(key).status == 200
    assert SessionStore(key).load() == {"a": 1, "theirs": 1, "ours": 1}


@both
def test_nothing_is_saved_after_a_server_error(
    make_site: MakeSite, store: RecordingStore, middleware: str
) -> None:
    def action(request: HttpRequest) -> HttpResponse:
        request.session["b"] = 1
        return HttpResponse(status=502)

    key = stored(a=1)
    assert not has_cookie(make_site(action, middleware).get(key))
    assert SessionStore(key).load() == {"a": 1}


def test_a_rotated_key_reaches_the_client_even_on_a_server_error(make_site: MakeSite) -> None:
    """It is stored already; without it the client would be logged out when the grace ends."""

    def action(request: HttpRequest) -> HttpResponse:
        request.session.cycle_key()
        return HttpResponse(status=500)

    answer = make_site(action).get(key := logged_in("7"))
    assert answer.status == 500
    assert key not in cookie_of(answer)
    assert key[:16] in cookie_of(answer)


# -- cookies that are not a session's --


def test_a_foreign_cookie_is_left_alone(make_site: MakeSite) -> None:
    for action in (read, log_out):
        assert not has_cookie(make_site(action).get("junk"))


def test_a_foreign_cookie_under_djangos_middleware_is_deleted_once_read(
    make_site: MakeSite,
) -> None:
    assert not has_cookie(make_site(nothing, STOCK).get("junk of no session"))
    assert "Max-Age=0" in cookie_of(make_site(read, STOCK).get("junk of no session"))


@pytest.mark.parametrize("order", ["{0}; {1}", "{1}; {0}"])
def test_of_duplicate_cookies_the_valid_one_is_found(make_site: MakeSite, order: str) -> None:
    junk = "sessionid=" + "x" * 111
    header = order.format(junk, f"sessionid={stored(a=1)}")
    assert make_site(read).get(header=header).body == b"1"


def test_a_quoted_or_differently_named_cookie_is_not_ours(make_site: MakeSite) -> None:
    key, site = stored(a=1), make_site(read)
    for header in (f'sessionid="{key}"', f"Sessionid={key}", f"=sessionid={key}", "sessionid"):
        assert site.get(header=header).body == b"None"


# -- void and gone --


@both
def test_a_superseded_cookie_reads_as_empty_and_nothing_is_sent(
    make_site: MakeSite, middleware: str
) -> None:
    old = stored(a=1)
    SessionStore(old).login("7")
    answer = make_site(read, middleware).get(old)
    assert (answer.status, answer.body) == (200, b"None")
    assert not has_cookie(answer)
    assert answer.varies


@pytest.mark.parametrize(("middleware", "status"), [(OURS, 409), (STOCK, 400)])
def test_a_write_to_a_session_that_has_ended_is_told(
    make_site: MakeSite, middleware: str, status: int
) -> None:
    def ended(request: HttpRequest) -> str:
        assert request.session["a"] == 1
        SessionStore(key).flush()
        request.session["b"] = 1
        return "done"

    def superseded(request: HttpRequest) -> str:
        request.session["b"] = 1
        return "done"

    key = stored(a=1)
    answers = [make_site(ended, middleware).get(key)]
    old = stored(a=1)
    SessionStore(old).login("7")
    answers.append(make_site(superseded, middleware).get(old))
    for answer in answers:
        assert answer.status == status
        assert not has_cookie(answer)
        assert not SessionStore().exists(key)


def test_an_update_error_in_the_view_is_409_too(make_site: MakeSite) -> None:
    def action(request: HttpRequest) -> str:
        assert request.session["a"] == 1
        SessionStore(key).flush()
        request.session["b"] = 1
        request.session.save()
        return "done"

    key = stored(a=1)
    answer = make_site(action).get(key)
    assert (answer.status, answer.header("Cache-Control")) == (409, "no-store")


def test_a_save_with_a_key_that_is_not_current_any_more_sends_none(make_site: MakeSite) -> None:
    """Its grace reads and writes; sending it again would log the user out when that ends."""
    old = logged_in("7")
    new = SessionStore(old)
    new.cycle_key()
    answer = make_site(write).get(old)
    assert answer.status == 200
    assert not has_cookie(answer)
    assert SessionStore(new.session_key)["b"] == 1


def test_a_key_rotated_away_after_this_request_rotated_it_is_not_sent(make_site: MakeSite) -> None:
    key = logged_in("7")
    keys = []

    def action(request: HttpRequest) -> str:
        request.session.cycle_key()
        other = SessionStore(request.session.session_key)
        other.cycle_key()
        keys.append(other.session_key)
        request.session["b"] = 1
        return "done"

    assert not has_cookie(make_site(action).get(key))
    assert SessionStore(keys[0])["b"] == 1


# -- the store fails --


@sync_and_async_middleware
def reads_the_session(get_response: Any) -> Any:
    """An inner middleware that needs the session before the view."""

    async def asynchronous(request: HttpRequest) -> Any:
        await request.session.aget("a")
        return await get_response(request)

    def synchronous(request: HttpRequest) -> Any:
        request.session.get("a")
        return get_response(request)

    return asynchronous if iscoroutinefunction(get_response) else synchronous


@pytest.mark.parametrize(("middleware", "status"), [(OURS, 503), (STOCK, 500)])
def test_a_read_while_the_store_is_down(
    make_site: MakeSite, store: RecordingStore, middleware: str, status: int
) -> None:
    site, key = make_site(read, middleware), stored(a=1)
    store.down = True
    answer = site.get(key)
    assert answer.status == status
    assert not has_cookie(answer)
    assert answer.varies
    assert (answer.header("Retry-After") is not None) == (status == 503)


def test_a_read_in_another_middleware_while_the_store_is_down(
    make_site: MakeSite, store: RecordingStore
) -> None:
    site, key = make_site(nothing, OURS, f"{__name__}.reads_the_session"), stored(a=1)
    assert site.get(key).status == 200
    store.down = True
    answer = site.get(key)
    assert (answer.status, answer.header("Cache-Control")) == (503, "no-store")
    assert answer.header("Retry-After") is not None
    assert not has_cookie(answer)


@pytest.mark.parametrize("verb", ["load", "replace", "create"])
def test_a_write_while_the_store_is_down(
    make_site: MakeSite, store: RecordingStore, verb: str
) -> None:
    site = make_site(write)
    key = None if verb == "create" else stored(a=1)
    store.fails_on = {verb}
    answer = site.get(key)
    assert answer.status == 503
    assert not has_cookie(answer)
    store.fails_on = set()
    if key is not None:
        assert SessionStore(key).load() == {"a": 1}


@both
@pytest.mark.parametrize("verb", ["load", "delete"])
@pytest.mark.parametrize("caught", [True, False])
def test_a_failed_logout_is_an_error_and_clears_the_cookie_all_the_same(
    make_site: MakeSite, store: RecordingStore, middleware: str, verb: str, caught: bool
) -> None:
    def action(request: HttpRequest) -> str:
        try:
            request.session.flush()
        except StoreUnavailable:
            if not caught:
                raise
        return "done"

    site, key = make_site(action, middleware), logged_in("7")
    store.fails_on = {verb}
    answer = site.get(key)
    failure = 503 if middleware == OURS else 500
    assert answer.status == (200 if caught else failure)
    assert "Max-Age=0" in cookie_of(answer)
    assert answer.varies


@both
def test_a_view_that_ignores_the_session_needs_no_store(
    make_site: MakeSite, store: RecordingStore, middleware: str
) -> None:
    site, key = make_site(nothing, middleware), stored(a=1)
    store.down = True
    answer = site.get(key)
    assert (answer.status, answer.varies, has_cookie(answer)) == (200, False, False)


def test_anonymous_service(make_site: MakeSite, store: RecordingStore) -> None:
    options = {"STORE": store, "ON_UNAVAILABLE": "anonymous"}
    site, key = make_site(write, SESSIONSTORE=options), stored(a=1)
    store.down = True
    for cookie in (key, None):
        answer = site.get(cookie)
        assert (answer.status, has_cookie(answer)) == (200, False)
    answer = make_site(log_out, SESSIONSTORE=options).get(key)
    assert answer.status == 503
    assert "Max-Age=0" in cookie_of(answer)


# -- SESSION_SAVE_EVERY_REQUEST --


@pytest.mark.parametrize("action", [read, nothing])
def test_saving_every_request_is_a_throttled_touch(
    make_site: MakeSite, store: RecordingStore, action: Any
) -> None:
    key = stored(a=1)
    site = make_site(action, SESSION_SAVE_EVERY_REQUEST=True)
    with store.counted() as verbs:
        assert not has_cookie(site.get(key))
    assert verbs == ["load"]
    at_once = {"STORE": store, "TOUCH_INTERVAL": 1e-9}
    site = make_site(action, SESSION_SAVE_EVERY_REQUEST=True, SESSIONSTORE=at_once)
    with store.counted() as verbs:
        answer = site.get(key)
    assert verbs == ["load", "replace"]
    assert key in cookie_of(answer)
    assert answer.varies
    assert answer.header("Cache-Control") == "no-store"


def test_saving_every_request_saves_no_session_that_is_not_there(
    make_site: MakeSite, store: RecordingStore
) -> None:
    site = make_site(nothing, SESSION_SAVE_EVERY_REQUEST=True)
    for cookie in (None, "junk", "x" * 111):
        assert not has_cookie(site.get(cookie))
    assert store.verbs == []
    old = stored(a=1)
    SessionStore(old).login("7")
    answer = site.get(old)
    assert (answer.status, has_cookie(answer)) == (200, False)


def test_without_it_reading_is_no_activity(make_site: MakeSite, store: RecordingStore) -> None:
    key = stored(a=1)
    site = make_site(read, SESSIONSTORE={"STORE": store, "TOUCH_INTERVAL": 1e-9})
    with store.counted() as verbs:
        site.get(key)
    assert verbs == ["load"]


# -- headers --


LOOKS = {
    "item": lambda session: session["a"],
    "in": lambda session: "x" in session,
    "has_key": lambda session: session.has_key("x"),
    "keys": lambda session: list(session.keys()),
    "session_key": lambda session: session.session_key,
    "handle": lambda session: session.handle,
    "subject": lambda session: session.subject,
    "get_expiry_age": lambda session: session.get_expiry_age(),
    "is_new": lambda session: session.is_new,
}


@both
@pytest.mark.parametrize("look", LOOKS.values(), ids=list(LOOKS))
def test_vary_whenever_the_answer_can_depend_on_the_cookie(
    make_site: MakeSite, middleware: str, look: Any
) -> None:
    site = make_site(lambda request: look(request.session) and None, middleware)
    assert site.get(stored(a=1)).varies


@pytest.mark.skipif(not hasattr(SessionBase, "__bool__"), reason="since Django 6.1")
def test_vary_when_it_is_asked_whether_there_is_a_session(make_site: MakeSite) -> None:
    site = make_site(lambda request: bool(request.session))
    answer = site.get(stored(a=1))
    assert (answer.body, answer.varies) == (b"True", True)
    answer = site.get()
    assert (answer.body, answer.varies) == (b"False", True)


def test_an_answer_with_the_cookie_is_not_stored_by_caches(make_site: MakeSite) -> None:
    key = stored(a=1)
    for action in (write, log_out):
        answer = make_site(action).get(key)
        assert answer.header("Cache-Control") == "no-store"
        assert answer.varies
    assert make_site(read).get(stored(a=1)).header("Cache-Control") is None


def test_the_apps_own_cache_control_stays(make_site: MakeSite) -> None:
    def action(request: HttpRequest) -> HttpResponse:
        request.session["b"] = 1
        return HttpResponse(headers={"Cache-Control": "private", "Vary": "Accept"})

    answer = make_site(action).get()
    assert answer.header("Cache-Control") == "private"
    assert answer.header("Vary") == "Accept, Cookie"


@both
def test_cookie_attributes(make_site: MakeSite, middleware: str) -> None:
    settings = {
        "SESSION_COOKIE_AGE": 1000,
        "SESSION_COOKIE_SECURE": True,
        "SESSION_COOKIE_SAMESITE": "Strict",
        "SESSION_COOKIE_DOMAIN": "example.org",
        "SESSION_COOKIE_PATH": "/shop/",
    }
    cookie = cookie_of(make_site(write, middleware, **settings).get())
    attributes = {part.partition("=")[0].strip() for part in cookie.split(";")[1:]}
    names = {"expires", "HttpOnly", "Max-Age", "Path", "SameSite", "Secure", "Domain"}
    assert attributes == names
    for part in ("Max-Age=1000", "SameSite=Strict", "Domain=example.org", "Path=/shop/"):
        assert part in cookie


@both
def test_a_browser_session_has_no_age(make_site: MakeSite, middleware: str) -> None:
    site = make_site(write, middleware, SESSION_EXPIRE_AT_BROWSER_CLOSE=True)
    cookie = cookie_of(site.get())
    assert "Max-Age" not in cookie
    assert "expires" not in cookie


def test_a_partitioned_cookie_on_set_and_on_delete(make_site: MakeSite) -> None:
    settings = {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_PARTITIONED": True}
    for action in (write, log_out):
        cookie = cookie_of(make_site(action, **settings).get(stored(a=1)))
        assert "; Partitioned" in cookie
        assert "; Secure" in cookie
    assert "Max-Age=0" in cookie


def test_a_host_cookie(make_site: MakeSite) -> None:
    settings = {"SESSION_COOKIE_SECURE": True, "SESSION_COOKIE_NAME": "__Host-sid"}
    key = stored(a=1)
    cookie = cookie_of(make_site(write, **settings).get(header=f"__Host-sid={key}"))
    assert cookie.startswith(f"__Host-sid={key};")
    site = make_site(read, **settings)
    assert site.get(header=f"__HOST-sid={key}").body == b"None"


def test_deleting_only_what_the_client_has(make_site: MakeSite) -> None:
    def action(request: HttpRequest) -> str:
        request.session["a"] = 1
        request.session.save()
        request.session.flush()
        return "done"

    assert not has_cookie(make_site(action).get())
    assert "Max-Age=0" in cookie_of(make_site(action).get(stored(a=1)))


# -- what else may be in request.session --


def test_a_session_of_another_engine_is_djangos_to_finish(make_site: MakeSite) -> None:
    def action(request: HttpRequest) -> str:
        request.session = ForeignStore()
        request.session["a"] = 1
        return "done"

    assert has_cookie(make_site(action).get())


def test_a_request_whose_session_was_taken_away(make_site: MakeSite) -> None:
    def action(request: HttpRequest) -> str:
        del request.session
        return "done"

    assert make_site(action).get(stored(a=1)).status == 200


def test_the_apps_own_errors_stay_its_own(make_site: MakeSite) -> None:
    def unstorable(request: HttpRequest) -> str:
        request.session["a"] = object()
        return "done"

    def wrong(request: HttpRequest) -> str:
        raise ValueError

    for action in (unstorable, wrong):
        answer = make_site(action).get()
        assert answer.status == 500
        assert not has_cookie(answer)
