"""What a token can turn out to be: DESIGN.md, section 4's table, line by line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sessionstore import Session
from sessionstore.core.flow import run
from sessionstore.core.opening import Opening, holds_current_secret
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import Lifetime, Status
from sessionstore.core.token import TOKEN_LENGTH, TokenSigner
from tests.core.support import DAY, HOUR, KEY, NOW, OLD_KEY, World, status, token_of

NEW, LOADED, VOID = Status.NEW, Status.LOADED, Status.VOID


def forged(token: str) -> str:
    return token[:-1] + ("A" if token[-1] != "A" else "B")


# -- without a store command: NEW --


@pytest.mark.parametrize(
    "cookie",
    [
        lambda world: None,
        lambda world: "",
        lambda world: "junk",
        lambda world: forged(world.begin(a=1)),
        lambda world: World(secret_key=OLD_KEY).begin(a=1),
        lambda world: ["junk", "A" * TOKEN_LENGTH],
        lambda world: [],
    ],
    ids=["absent", "empty", "junk", "forged", "another key", "several junk", "none"],
)
def test_without_a_valid_token_it_is_new_and_costs_no_command(
    cookie: Callable[[World], str | None],
) -> None:
    world = World()
    session = world.open(cookie(world))
    assert session == {}
    assert status(session) is NEW
    assert world.manager.commit(session) is None
    assert world.store.verbs == []
    assert world.reports == []


def test_too_old_a_token_is_new_without_a_command() -> None:
    world = World(absolute_timeout=HOUR)
    token = world.begin(a=1)
    world.clock.advance(HOUR + 1)
    assert status(world.open(token)) is NEW
    assert world.store.verbs == []


def test_a_valid_token_that_nobody_reads_costs_nothing() -> None:
    world = World()
    state = world.manager.begin_state(world.begin(a=1))
    assert state.status is Status.UNLOADED
    assert state.handle is None
    assert world.manager.save(state, None) is None
    assert world.store.verbs == []


# -- one load --


def test_the_current_secret_is_loaded() -> None:
    world = World()
    session = world.open(world.begin(a=1))
    assert session == {"a": 1}
    assert status(session) is LOADED
    assert session.state.proven
    assert world.store.verbs == ["load"]
    assert world.reports == []


def test_an_unknown_handle_is_new_and_is_never_adopted() -> None:
    world = World()
    token = world.begin(a=1)
    world.remove(token)
    session = world.open(token)
    assert status(session) is NEW
    assert session.state.token is None

    session["b"] = 2
    begun = token_of(world.manager.commit(session))
    assert begun[:16] != token[:16]
    assert status(world.open(token)) is NEW


def test_a_wrong_secret_is_new_and_reported_with_the_handle() -> None:
    world = World()
    token = current = world.begin(a=1)
    for _ in range(2):
        current = token_of(world.request(current, Session.rotate))
    world.reports.clear()

    session = world.open(token)

    assert status(session) is NEW
    assert world.reports == [("bad_secret", token[:16])]
    session["b"] = 1
    assert token_of(world.manager.commit(session))[:16] != token[:16]


@pytest.mark.parametrize("rotate", [True, False])
def test_the_previous_secret_is_loaded_within_its_grace_and_may_not_rotate(rotate: bool) -> None:
    world = World()
    old = world.begin(login="ann")
    new = token_of(world.request(old, Session.rotate))
    world.clock.advance(9.9)

    session = world.open(old)

    assert status(session) is LOADED
    assert session.subject == "ann"
    assert not session.state.proven
    session["from the old"] = 1
    if rotate:
        session.rotate()
    assert world.manager.commit(session) is None, "no cookie for a token that is not current"
    assert world.open(new) == {"from the old": 1}
    assert world.reports == []


def test_a_grace_that_has_passed_is_void_and_reported() -> None:
    world = World()
    old = world.begin(a=1)
    new = token_of(world.request(old, Session.rotate))
    world.clock.advance(10)

    assert status(world.open(old)) is VOID
    assert world.reports == [("token_reuse", old[:16])]
    assert status(world.open(new)) is LOADED


def test_the_grace_is_configurable() -> None:
    world = World(rotation_grace=0)
    old = world.begin(a=1)
    world.request(old, Session.rotate)
    assert status(world.open(old)) is VOID


def test_a_login_leaves_the_secret_before_it_no_grace() -> None:
    world = World()
    old = world.begin(a=1)
    world.request(old, lambda session: session.login("ann"))
    assert status(world.open(old)) is VOID
    assert world.reported == ["token_reuse"]


# -- deadlines, whatever the store's TTL says --


@pytest.mark.parametrize(
    ("settings", "seconds"),
    [
        ({"idle_timeout": HOUR}, HOUR),
        ({"idle_timeout": DAY, "absolute_timeout": HOUR}, HOUR - 0.5),
    ],
    ids=["idle", "absolute"],
)
def test_past_its_deadline_a_session_is_refused_even_if_the_store_still_has_it(
    settings: dict[str, float], seconds: float
) -> None:
    world = World(**settings)
    token = world.begin(a=1)
    value = world.bytes_of(token)
    world.clock.advance(seconds - 1)
    world.put(token, value)
    assert world.open(token) == {"a": 1}
    world.clock.advance(1.5)
    world.put(token, value)
    assert status(world.open(token)) is NEW
    assert world.reports == []


def test_the_records_deadline_counts_for_a_long_lived_token() -> None:
    world = World()
    session = world.open()
    session["a"] = 1
    session.state.lifetime = Lifetime(90 * DAY)
    cookie = world.manager.commit(session)
    token = token_of(cookie)
    world.clock.advance(89 * DAY)
    assert world.open(token) == {"a": 1}
    value = world.bytes_of(token)
    world.clock.advance(2 * DAY)
    world.put(token, value)
    assert status(world.open(token)) is NEW


# -- several cookies, several keys --


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_sessions_cookies_the_newest_counts_and_it_is_reported(reverse: bool) -> None:
    world = World()
    older = world.begin(n=1)
    world.clock.advance(1)
    newer = world.begin(n=2)
    cookies = [older, "junk", newer]
    assert world.open(reversed(cookies) if reverse else cookies) == {"n": 2}
    assert world.reports == [("ambiguous_cookie", newer[:16])]


def test_key_rotation_in_three_deploys_logs_nobody_out() -> None:
    world = World()
    token = world.begin(login="ann", a=1)
    before = world.manager
    swapped = world.server(secret_key=OLD_KEY, secret_key_fallbacks=[KEY])
    retired = world.server(secret_key=OLD_KEY)
    prepared = world.server(secret_key_fallbacks=[OLD_KEY])

    # First deploy: the new key as a fallback; whoever is seen there is signed by the old one.
    session = prepared.open(token)
    session["a"] = 2
    assert token_of(prepared.commit(session)) == token
    # Second: swapped. Written or touched, token and record are under the new key.
    session = swapped.open(token)
    session["a"] = 3
    signed_anew = token_of(swapped.commit(session))
    assert signed_anew != token
    assert signed_anew[:60] == token[:60], "the same handle and secret: nothing was extended"
    assert prepared.open(signed_anew) == {"a": 3}
    # Third: the old one is retired.
    assert retired.open(signed_anew) == {"a": 3}
    assert status(retired.open(token)) is NEW
    assert status(before.open(signed_anew)) is NEW


def test_a_touch_signs_anew_as_well() -> None:
    world = World(idle_timeout=HOUR)
    token = world.begin(a=1)
    swapped = world.server(secret_key=OLD_KEY, secret_key_fallbacks=[KEY])
    world.clock.advance(HOUR / 2)
    session = swapped.open(token)
    assert session["a"] == 1
    signed_anew = token_of(swapped.commit(session))
    assert world.server(secret_key=OLD_KEY).open(signed_anew) == {"a": 1}


def test_a_secret_that_the_record_never_had_is_new_and_reported() -> None:
    # Signed by us and yet not this session's: an older backup of the store, for example.
    world = World()
    token = world.begin(a=1)
    signer = TokenSigner(KEY.encode(), absolute_timeout=DAY)
    other = signer.mint(token[:16], bytes(32), 0, NOW)
    assert status(world.open(other.text)) is NEW
    assert world.reports == [("bad_secret", token[:16])]


def test_without_a_token_there_is_nothing_to_load_and_no_secret() -> None:
    world = World()
    keys = world.manager.config.keys
    opening = Opening(world.store, TokenSigner(*keys, absolute_timeout=DAY), Sealer(keys))
    state = opening.begin([], NOW)
    run(opening.load(state, NOW), lambda command: pytest.fail("nothing was to be sent"))
    assert state.status is NEW
    assert not holds_current_secret(state, world.stored(world.begin(a=1)))


def test_opening_what_is_known_already_costs_nothing() -> None:
    world = World()
    session = world.open(world.begin(a=1))
    world.manager.load(session.state)
    assert world.store.verbs == ["load"]
