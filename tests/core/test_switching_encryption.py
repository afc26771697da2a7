"""Beginning and ending encryption without anybody's session becoming unreadable on the way."""

from __future__ import annotations

from sessionstore import MemoryStore, SessionConfig, SessionManager

SECRET, KEY = "s" * 32, "e" * 32


def test_each_deployment_reads_what_the_one_before_and_the_one_after_write() -> None:
    store = MemoryStore()
    steps = [
        SessionManager(store, SessionConfig(secret_key=SECRET)),
        SessionManager(
            store, SessionConfig(secret_key=SECRET, encryption_keys=[KEY], encrypt=False)
        ),
        SessionManager(store, SessionConfig(secret_key=SECRET, encryption_keys=[KEY])),
    ]
    for one, other in [(0, 1), (1, 0), (1, 2), (2, 1)]:
        session = steps[one].open(None)
        session["a"] = 1
        cookie = steps[one].commit(session)
        assert cookie is not None
        assert steps[other].open(cookie.value) == {"a": 1}


def test_keys_that_only_decrypt_encrypt_nothing() -> None:
    store = MemoryStore()
    config = SessionConfig(secret_key=SECRET, encryption_keys=[KEY], encrypt=False)
    manager = SessionManager(store, config)
    session = manager.open(None)
    session["a"] = "readable"
    manager.commit(session)
    [(value, _)] = store._entries.values()
    assert b"readable" in value
