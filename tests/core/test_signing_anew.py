"""While the secret key is rotated, every client that is active gets a cookie under the new one."""

from __future__ import annotations

import pytest

from sessionstore import Session, SessionManager
from tests.core.support import HOUR, KEY, OLD_KEY, World, token_of, write

MINUTE = HOUR / 60


class Rotated(World):
    """A client's cookie is under the key before the present one."""

    def __init__(self) -> None:
        super().__init__(secret_key=OLD_KEY, idle_timeout=HOUR)
        self.token = self.begin(a=1)
        self.manager = self.server(secret_key=KEY, secret_key_fallbacks=[OLD_KEY])
        self.alone = self.server(secret_key=KEY)

    def late(self) -> Session:
        """A stream or a WebSocket: its response has begun without a cookie."""
        session = self.open(self.token)
        assert self.manager.commit(session) is None
        session.state.headers_sent = True
        return session


def is_known(manager: SessionManager, token: str) -> bool:
    return manager.open(token).get("a") == 1


def test_a_write_whose_cookie_cannot_be_sent_leaves_it_to_the_next_response() -> None:
    world = Rotated()
    late = world.late()
    for number in range(50):  # longer than the idle timeout
        world.clock.advance(2 * MINUTE)
        late["n"] = number
        world.manager.commit(late)
    assert not is_known(world.alone, world.token)

    anew = token_of(world.request(world.token, dict))

    assert is_known(world.alone, anew)
    assert world.request(anew, dict) is None, "once: from now on reading is throttled again"


def test_until_then_it_is_recorded_as_far_back_as_a_touch_may_be() -> None:
    world = Rotated()
    late = world.late()
    began = world.stored(world.token).touched
    world.clock.advance(MINUTE)
    late["n"] = 1
    world.manager.commit(late)
    assert world.stored(world.token).touched == began, "never backwards"
    world.clock.advance(HOUR / 2)
    late["n"] = 2
    world.manager.commit(late)
    assert world.stored(world.token).touched == world.clock.now - HOUR / 10


@pytest.mark.parametrize("key", [KEY, OLD_KEY])
def test_otherwise_a_late_write_is_activity_like_any_other(key: str) -> None:
    world = Rotated()
    if key == KEY:
        world.token = token_of(world.request(world.token, write))
    else:
        world.manager = world.server(secret_key=OLD_KEY, secret_key_fallbacks=[KEY])
    late = world.late()
    world.clock.advance(HOUR / 2)
    late["n"] = 1
    world.manager.commit(late)
    assert world.stored(world.token).touched == world.clock.now


def test_a_lost_response_is_made_up_for_by_the_next_touch() -> None:
    world = Rotated()
    world.clock.advance(HOUR / 10)
    assert token_of(world.request(world.token, dict)) != world.token  # and never arrives
    assert world.request(world.token, dict) is None
    world.clock.advance(HOUR / 10)
    assert is_known(world.alone, token_of(world.request(world.token, dict)))
