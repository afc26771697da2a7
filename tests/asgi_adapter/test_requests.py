"""What a request costs and finds: store commands counted one by one."""

from __future__ import annotations

from typing import Any

import pytest

from sessionstore import HeadersAlreadySent, NotLoaded
from tests.asgi_adapter.support import DAY, NAME, Site


async def test_an_anonymous_visitor_costs_nothing() -> None:
    site = Site()
    reply = await site.get(lambda session: session.get("a"))

    assert site.verbs == []
    assert reply.cookie is None


@pytest.mark.parametrize(
    "junk",
    [
        "",
        "x",
        "." * 100_000,
        "null",
        "aaaaaaaaaaaaaaaa." + "a" * 43 + ".aaaaaa." + "a" * 43,
        '"a\\015\\012b"',
        "\xff\xfe",
    ],
    ids=["empty", "short", "dots", "null", "forged", "escapes", "latin-1"],
)
async def test_junk_costs_nothing_and_sets_nothing(junk: str) -> None:
    site = Site()
    reply = await site.get(lambda session: session.get("a"), junk)

    assert site.verbs == []
    assert reply.cookie is None
    assert reply.status == 200


async def test_a_token_past_the_absolute_timeout_costs_nothing() -> None:
    site = Site()
    token = await site.begin()
    site.clock.advance(31 * DAY)

    await site.get(lambda session: session.get("a"), token)

    assert site.verbs == []


ON = pytest.mark.parametrize(
    ("view", "verbs"),
    [
        (lambda session: None, ["load"]),
        (lambda session: session.get("seen"), ["load"]),
        (lambda session: session.update(a=1), ["load", "replace"]),
        (lambda session: session["cart"].append(1), ["load", "replace"]),
        (lambda session: (session.login("ann"), session.update(a=1)), ["load", "replace"]),
        (lambda session: session.rotate(), ["load", "replace"]),
        (lambda session: session.logout(), ["load", "delete"]),
        (lambda session: session.clear(), ["load", "delete"]),
        (lambda session: (session.pop("seen"), session.pop("cart")), ["load", "delete"]),
    ],
    ids=["unused", "read", "write", "nested", "login", "rotate", "logout", "clear", "emptied"],
)


@ON
async def test_what_a_known_visitor_costs(view: Any, verbs: list[str]) -> None:
    site = Site()
    await site.get(view, await site.begin(seen=1, cart=[]))

    assert site.verbs == verbs


@ON
async def test_the_same_with_manual_loading(view: Any, verbs: list[str]) -> None:
    site = Site(load="manual")

    async def page(session: Any) -> None:
        await session.load()
        view(session)

    await site.get(page, await site.begin(seen=1, cart=[]))

    assert site.verbs == verbs


async def test_a_new_session_is_one_command() -> None:
    site = Site()
    reply = await site.get(lambda session: session.update(a=1))

    assert site.verbs == ["create"]
    assert site.stored(reply.token) == {"a": 1}


async def test_logging_out_without_a_session_is_none() -> None:
    site = Site()
    reply = await site.get(lambda session: session.clear())

    assert site.verbs == []
    assert reply.cookie is None


async def test_a_logout_ends_the_session_and_clears_the_cookie() -> None:
    site = Site()
    token = await site.begin()
    reply = await site.get(lambda session: session.logout(), token)

    assert reply.deletes
    assert site.stored(token) == {}


async def test_a_login_gives_a_new_token_and_the_old_one_is_dead() -> None:
    site = Site()
    token = await site.begin(a=1)
    reply = await site.get(lambda session: session.login("ann"), token)

    assert reply.token != token
    assert site.stored(reply.token) == {"a": 1}
    late = await site.get(lambda session: session.get("a"), token)
    assert late.cookie is None
    assert "token_reuse" in site.reports


async def test_the_libraries_own_user_attribute_can_be_the_subject() -> None:
    site = Site(subject_key="user_id")
    token = await site.begin()
    reply = await site.get(lambda session: session.update(user_id=7), token)

    assert reply.token != token
    subjects: list[Any] = []
    await site.get(lambda session: subjects.append(session.subject), reply.token)
    assert subjects == ["7"]


# -- activity --


async def test_reading_now_and_then_keeps_the_session_and_the_cookie() -> None:
    site = Site()
    token = await site.begin()

    site.clock.advance(DAY)
    early = await site.get(lambda session: session.get("a"), token)
    assert (site.verbs, early.cookie) == (["load"], None)
    site.clock.advance(DAY)
    site.store.forget()
    late = await site.get(lambda session: session.get("a"), token)

    assert site.verbs == ["load", "replace"]
    assert late.token == token
    assert "Max-Age=1209600;" in str(late.cookie)
    assert late.header("vary") == "Cookie"
    site.clock.advance(13 * DAY)
    assert site.stored(token) == {"seen": 1}


async def test_what_nobody_reads_is_not_kept_alive() -> None:
    site = Site()
    token = await site.begin()
    site.clock.advance(10 * DAY)

    await site.get(lambda session: None, token)

    assert site.verbs == ["load"]


async def test_the_last_max_age_ends_with_the_absolute_timeout() -> None:
    site = Site(absolute_timeout=20 * DAY)
    token = await site.begin()
    site.clock.advance(13 * DAY)

    reply = await site.get(lambda session: session.update(a=1), token)

    assert f"Max-Age={7 * 86400};" in str(reply.cookie)


# -- several cookies --


def header(*values: str) -> bytes:
    return "; ".join(f"{NAME}={value}" for value in values).encode()


async def test_the_valid_one_of_several_cookies_is_found() -> None:
    site = Site()
    token = await site.begin(a=1)
    for headers in [
        [header("junk", token)],
        [header(token, "junk")],
        [header("junk"), header(token)],
        [b"a=1; b=2", header(token), b"\xff=\xfe"],
        [f"a=1;{NAME}={token};b=2".encode()],
    ]:
        seen: list[Any] = []
        await site.get(lambda session, seen=seen: seen.append(session.get("a")), headers)
        assert seen == [1], headers
    assert site.reports == []


async def test_of_two_valid_ones_the_newest_counts() -> None:
    site = Site()
    old = await site.begin(a="old")
    site.clock.advance(10)
    new = await site.begin(a="new")
    for headers in [[header(old, new)], [header(new, old)], [header(new), header(old)]]:
        seen: list[Any] = []
        await site.get(lambda session, seen=seen: seen.append(session["a"]), headers)
        assert seen == ["new"]
    assert site.reports == ["ambiguous_cookie"] * 3


async def test_header_names_may_be_of_any_case_and_absent() -> None:
    site = Site()
    token = await site.begin(a=1)
    seen: list[Any] = []
    await site.get(
        lambda session: seen.append(session["a"]),
        headers=[(b"Cookie", header(token))],
    )
    await site.get(lambda session: seen.append(len(session)), headers=None)

    assert seen == [1, 0]


async def test_root_path_is_ignored() -> None:
    site = Site()
    reply = await site.get(lambda session: session.update(a=1), root_path="/mounted")

    assert "; path=/; " in str(reply.cookie)


# -- manual loading --


async def test_manual_loading_costs_nothing_where_it_is_not_asked_for() -> None:
    site = Site(load="manual")
    reply = await site.get(lambda session: None, await site.begin())

    assert site.verbs == []
    assert reply.start["headers"] == []


READS: dict[str, Any] = {
    "get": lambda session: session.get("a"),
    "set": lambda session: session.update(a=1),
    "len": len,
    "subject": lambda session: session.subject,
    "login": lambda session: session.login("ann"),
    "rotate": lambda session: session.rotate(),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("known", [True, False])
async def test_reading_before_loading_is_an_error_for_every_visitor(read: str, known: bool) -> None:
    site = Site(load="manual")
    reply = await site.get(READS[read], await site.begin() if known else None)

    assert isinstance(reply.error, NotLoaded)
    assert site.verbs == []


async def test_after_loading_everything_works() -> None:
    site = Site(load="manual")

    async def page(session: Any) -> None:
        await session.load()
        await session.load()
        session["n"] = session.get("n", 0) + 1

    first = await site.get(page)
    second = await site.get(page, first.token)

    assert site.stored(second.token) == {"n": 2}
    assert site.verbs == ["create", "load", "replace"]


async def test_a_logout_needs_no_loading() -> None:
    site = Site(load="manual")

    def leave(session: Any) -> None:
        session.logout()
        session["flash"] = "bye"

    reply = await site.get(leave, await site.begin())

    assert site.verbs == ["load", "delete", "create"]
    assert site.stored(reply.token) == {"flash": "bye"}


# -- what changes after the response has begun --


def streaming(during: Any) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["early"] = 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"", "more_body": True})
        during(scope["session"])
        await send({"type": "http.response.body", "body": b"end"})

    return app


async def test_what_a_stream_changes_is_stored_at_its_end() -> None:
    site = Site(streaming(lambda session: session.update(late=1)))
    token = await site.begin()
    reply = await site.get(cookie=token)

    assert reply.error is None
    assert site.verbs == ["load", "replace", "replace"]
    assert site.stored(token) == {"seen": 1, "early": 1, "late": 1}


async def test_a_session_that_this_response_began_may_go_on_in_the_stream() -> None:
    site = Site(streaming(lambda session: session.update(late=1)))
    reply = await site.get()

    assert site.verbs == ["create", "replace"]
    assert site.stored(reply.token) == {"early": 1, "late": 1}


async def test_a_stream_that_changes_nothing_costs_nothing() -> None:
    site = Site(streaming(lambda session: session.get("early")))
    await site.get(cookie=await site.begin())

    assert site.verbs == ["load", "replace"]


async def test_a_stream_may_change_what_it_was_given_before() -> None:
    """Nothing then tells that there is a change: neither a call, nor the session's marks."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        lines = scope["session"].setdefault("lines", [])
        await send({"type": "http.response.start", "status": 200, "headers": []})
        lines.append("late")
        await send({"type": "http.response.body", "body": b"end"})

    site = Site(app)
    token = await site.begin(lines=["early"])
    await site.get(cookie=token)

    assert site.verbs == ["load", "replace"]
    assert site.stored(token)["lines"] == ["early", "late"]


async def test_a_stream_may_end_the_session() -> None:
    site = Site(streaming(lambda session: session.logout()))
    token = await site.begin()
    await site.get(cookie=token)

    assert site.verbs == ["load", "replace", "delete"]
    assert site.stored(token) == {}


@pytest.mark.parametrize("mark", ["login", "rotate"])
async def test_a_stream_cannot_set_another_cookie(mark: str) -> None:
    def during(session: Any) -> None:
        with pytest.raises(HeadersAlreadySent):
            session.login("ann") if mark == "login" else session.rotate()

    site = Site(streaming(during))
    reply = await site.get(cookie=await site.begin())

    assert reply.error is None


async def test_a_stream_cannot_begin_a_session() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with pytest.raises(HeadersAlreadySent):
            scope["session"]["a"] = 1
        assert dict(scope["session"]) == {}

    site = Site(app)
    reply = await site.get()

    assert reply.error is None
    assert site.verbs == []


async def test_saving_early_keeps_the_cookie_for_the_response() -> None:
    site = Site()

    async def page(session: Any) -> None:
        session["a"] = 1
        await session.save()
        assert site.verbs == ["create"]
        await session.save()

    reply = await site.get(page)

    assert site.verbs == ["create"]
    assert site.stored(reply.token) == {"a": 1}


async def test_without_a_response_nothing_is_stored() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1

    site = Site(app)
    reply = await site.get(cookie=await site.begin())

    assert reply.messages == []
    assert site.verbs == ["load"]


async def test_other_messages_pass_through() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["session"]["a"] = 1
        await send({"type": "http.response.early_hint", "links": []})
        assert site.verbs == []
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"done"})
        await send({"type": "http.response.trailers", "headers": []})
        assert (await receive())["type"] == "http.request"

    site = Site(app)
    reply = await site.get()

    assert [kind.rpartition(".")[2] for kind in reply.types] == [
        "early_hint",
        "start",
        "body",
        "trailers",
    ]
    assert reply.error is None
