"""Where adapters get their store, their keys and their manager from."""

from __future__ import annotations

from threading import Barrier, Event, Thread

import pytest

from sessionstore import ConfigurationError, MemoryStore, SessionConfig, Store
from sessionstore.settings import (
    SECRET_VARIABLE,
    URL_VARIABLE,
    Managers,
    find_keys,
    find_url,
)

KEY = "a secret key of 32 bytes, or more"


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (URL_VARIABLE, SECRET_VARIABLE, f"{SECRET_VARIABLE}_FALLBACKS"):
        monkeypatch.delenv(name, raising=False)


# -- the URL --


def test_the_option_counts_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL_VARIABLE, "redis://environment")
    assert find_url("memory://") == "memory://"
    assert find_url(None) == find_url("") == "redis://environment"


@pytest.mark.parametrize("value", [None, ""])
def test_no_url_is_an_error_that_says_what_to_set(
    value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL_VARIABLE, "")
    with pytest.raises(ConfigurationError, match=r"set SESSIONSTORE_URL .* redis://localhost"):
        find_url(value)


# -- the keys: from one source, with that source's fallbacks --


@pytest.mark.parametrize(
    ("explicit", "environment", "framework", "expected"),
    [
        ("e", "v", "f", ("e", ("e2",))),
        ("e", None, None, ("e", ("e2",))),
        (None, "v", "f", ("v", ())),
        ("", "v", "f", ("v", ())),
        (None, None, "f", ("f", ("f2",))),
        (None, "", "f", ("f", ("f2",))),
        (b"", None, b"f", (b"f", ("f2",))),
    ],
)
def test_fallbacks_come_from_where_the_key_comes_from(
    explicit: str | None,
    environment: str | None,
    framework: str | None,
    expected: object,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if environment is not None:
        monkeypatch.setenv(SECRET_VARIABLE, environment)
    assert find_keys(explicit, ["e2"], framework, ["f2"]) == expected


@pytest.mark.parametrize("framework", [None, "", b""], ids=repr)
def test_no_key_anywhere_is_none(framework: str | None) -> None:
    assert find_keys(None, (), framework, ())[0] is None


def test_the_environment_brings_its_own_fallbacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SECRET_VARIABLE, "v")
    monkeypatch.setenv(f"{SECRET_VARIABLE}_FALLBACKS", "v2  v3")
    assert find_keys(None, (), "f", ["f2"]) == ("v", ("v2", "v3"))


@pytest.mark.parametrize("one", ["key", b"key"], ids=repr)
def test_one_key_in_place_of_a_list_is_an_error(one: str) -> None:
    for arguments in (("e", one, None, ()), (None, (), "f", one)):
        with pytest.raises(ConfigurationError, match="give a list of keys"):
            find_keys(*arguments)


# -- managers --


def config(**settings: float) -> SessionConfig:
    return SessionConfig(secret_key=KEY, **settings)  # type: ignore[arg-type]


def test_a_store_is_opened_once_for_each_url() -> None:
    opened: list[str] = []

    def opener(url: str) -> Store:
        opened.append(url)
        return MemoryStore()

    managers = Managers()
    assert managers.store("memory://a", opener) is managers.store("memory://a", opener)
    assert managers.store("memory://b", opener) is not managers.store("memory://a", opener)
    assert opened == ["memory://a", "memory://b"]


def test_threads_that_come_at_once_get_the_same_store() -> None:
    managers, barrier, opened = Managers(), Barrier(8), []
    found: list[Store] = []

    def opener(url: str) -> Store:
        opened.append(url)
        Event().wait(0.05)  # time for the others to come as far as the lock
        return MemoryStore()

    def work() -> None:
        barrier.wait()
        found.append(managers.store("memory://", opener))

    threads = [Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len(found) == 8
    assert len(set(map(id, found))) == 1


def test_a_url_is_opened_by_its_scheme() -> None:
    assert isinstance(Managers().store("memory://"), MemoryStore)


def test_a_manager_is_made_once_for_equal_settings() -> None:
    managers, store = Managers(), MemoryStore()
    manager = managers.get(store, config(idle_timeout=60))
    assert managers.get(store, config(idle_timeout=60)) is manager
    assert managers.get(store, config(idle_timeout=61)) is not manager
    assert managers.get(MemoryStore(), config(idle_timeout=60)) is not manager


def test_a_store_at_a_freed_stores_address_is_told_from_it() -> None:
    managers, one, two = Managers(), MemoryStore(), MemoryStore()
    manager = managers.get(one, config())
    manager.store = two  # as if `one` had been freed and `two` stood at its address
    assert managers.get(one, config()).store is one


def test_settings_that_change_all_the_time_do_not_fill_the_memory() -> None:
    managers, store = Managers(), MemoryStore()
    first = managers.get(store, config(idle_timeout=1))
    for seconds in range(2, 200):
        managers.get(store, config(idle_timeout=seconds))
    assert managers.get(store, config(idle_timeout=1)) is not first
    last = managers.get(store, config(idle_timeout=199))
    assert managers.get(store, config(idle_timeout=199)) is last


def test_each_manager_gets_the_reports_and_the_clock() -> None:
    reports: list[tuple[str, str | None]] = []
    managers = Managers(lambda what, handle: reports.append((what, handle)), clock=lambda: 1e9)
    manager = managers.get(MemoryStore(clock=lambda: 1e9), config())
    session = manager.open(None)
    session["a"] = 1
    cookie = manager.commit(session)
    assert cookie is not None
    late = manager.open(cookie.value)
    late.login("ann")
    manager.commit(late)
    manager.open(cookie.value)
    assert reports == [("token_reuse", str(cookie.value)[:16])]
    assert session.created is not None
    assert session.created.timestamp() == 1e9


def test_closing_closes_every_store_that_was_opened() -> None:
    closed: list[str] = []

    class Noting(MemoryStore):
        def close(self) -> None:
            closed.append(self.prefix)

    managers = Managers()
    for prefix in ("one", "two"):
        managers.store(f"memory://{prefix}", lambda url: Noting(prefix=url.rpartition("/")[2]))
    managers.close()
    assert closed == ["one", "two"]
