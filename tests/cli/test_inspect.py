from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest

from sessionstore import MemoryStore
from sessionstore.core.flow import Flow, run
from tests.cli.conftest import SECRET, Invoke, manager

T = TypeVar("T")
KEYS = {"SESSIONSTORE_SECRET_KEY": SECRET}


def do(store: MemoryStore, flow: Flow[T]) -> T:
    return run(flow, lambda command: store.execute(command, 0))


def stored(store: MemoryStore, **settings: object) -> tuple[str, str]:
    """A session in the store: its handle and its token."""
    sessions = manager(store, **settings)
    session = sessions.open(None)
    session.login(42)
    session["cart"] = {"apples": 3}
    session["secret"] = "do not show"
    cookie = sessions.commit(session)
    assert cookie is not None
    assert cookie.value is not None
    assert session.handle is not None
    return session.handle, cookie.value


def test_shows_metadata_names_and_sizes_but_no_values(invoke: Invoke, store: MemoryStore) -> None:
    handle, token = stored(store)
    result = invoke("inspect", "memory://", handle, **KEYS)
    assert result.exit_code == 0, result.output
    for shown in (handle, "subject", "42", "cart", "secret", "14 days"):
        assert shown in result.output
    for hidden in ("apples", "do not show", token, token[17:60]):
        assert hidden not in result.output


def test_json_metadata(invoke: Invoke, store: MemoryStore) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    handle, _ = stored(store, idle_timeout=600)
    document = json.loads(invoke("inspect", "memory://", handle, "--json", **KEYS).stdout)
    created = datetime.fromisoformat(document["created"])
    assert before <= created <= datetime.now(UTC)
    assert (datetime.fromisoformat(document["ends"]) - created).total_seconds() == 600
    deadline = datetime.fromisoformat(document["absolute_deadline"])
    assert (deadline - created).days == 30
    assert document["attributes"] == [
        {"name": "cart", "bytes": 9},
        {"name": "secret", "bytes": 12},
    ]
    assert {name: document[name] for name in ("subject", "idle_timeout", "over", "epoch")} == {
        "subject": "42",
        "idle_timeout": 600.0,
        "over": False,
        "epoch": 0,
    }


def test_values_only_on_request(invoke: Invoke, store: MemoryStore) -> None:
    handle, _ = stored(store)
    assert "{'apples': 3}" in invoke("inspect", "memory://", handle, "--values", **KEYS).output
    document = json.loads(
        invoke("inspect", "memory://", handle, "--values", "--json", **KEYS).stdout
    )
    assert document["attributes"][1] == {"name": "secret", "bytes": 12, "value": "'do not show'"}


def test_what_a_session_holds_cannot_steer_the_terminal(invoke: Invoke, store: MemoryStore) -> None:
    sessions = manager(store)
    session = sessions.open(None)
    session["\x1b[2Jname"] = "\x1b]0;title\x07[bold]value"
    session.login("\x1b[31muser")
    sessions.commit(session)
    result = invoke("inspect", "memory://", session.handle, "--values", **KEYS)
    assert result.exit_code == 0
    assert "\x1b" not in result.output
    assert "[bold]value" in result.output  # and rich takes nothing in it for markup


def test_reading_is_no_activity_and_changes_nothing(invoke: Invoke, store: MemoryStore) -> None:
    handle, _ = stored(store)
    key = store.key(handle)
    before = do(store, store.load(key))
    invoke("inspect", "memory://", handle, **KEYS)
    assert do(store, store.load(key)) == before


def test_an_empty_session(invoke: Invoke, store: MemoryStore) -> None:
    sessions = manager(store)
    session = sessions.open(None)
    session.login("ada")
    sessions.commit(session)
    assert "No attributes." in invoke("inspect", "memory://", session.handle, **KEYS).output


@pytest.mark.parametrize("arguments", [["memory://"], []])
def test_a_token_is_refused_and_not_repeated(
    invoke: Invoke, store: MemoryStore, arguments: list[str]
) -> None:
    _, token = stored(store)
    assert len(token) == 111
    result = invoke("inspect", *arguments, token, **KEYS)
    assert result.exit_code == 2
    assert "give the handle, its first 16 characters" in " ".join(result.stderr.split())
    assert token[17:] not in result.output


@pytest.mark.parametrize("handle", ["short", "x" * 17, "x" * 15 + "/", "ä" * 16, "x" * 15 + "\n"])
def test_what_is_no_handle_is_refused(invoke: Invoke, handle: str) -> None:
    result = invoke("inspect", "memory://", handle, **KEYS)
    assert result.exit_code == 2
    assert "16 characters" in result.stderr


@pytest.mark.parametrize("handle", ["-" + "a" * 15, "--" + "a" * 14, "-" * 16])
def test_a_handle_may_begin_like_an_option(invoke: Invoke, store: MemoryStore, handle: str) -> None:
    result = invoke("inspect", "memory://", handle, **KEYS)
    assert result.exit_code == 1
    assert f"There is no session {handle}" in result.stderr


def test_no_such_session(invoke: Invoke, store: MemoryStore) -> None:
    result = invoke("inspect", "memory://", "a" * 16, **KEYS)
    assert result.exit_code == 1
    assert "There is no session aaaaaaaaaaaaaaaa under the prefix 'session'" in result.stderr


def test_the_url_may_come_from_the_environment(invoke: Invoke, store: MemoryStore) -> None:
    handle, _ = stored(store)
    assert invoke("inspect", handle, SESSIONSTORE_URL="memory://", **KEYS).exit_code == 0


@pytest.mark.parametrize("arguments", [[], ["a", "b", "c"]])
def test_wrong_number_of_arguments(invoke: Invoke, arguments: list[str]) -> None:
    assert invoke("inspect", *arguments, **KEYS).exit_code == 2


def test_without_a_key_it_says_where_to_put_one(invoke: Invoke, store: MemoryStore) -> None:
    handle, _ = stored(store)
    result = invoke("inspect", "memory://", handle)
    assert result.exit_code == 2
    assert "SESSIONSTORE_SECRET_KEY" in result.stderr
    assert "--secret-key-file" in result.stderr


def test_keys_from_a_file_newest_first_before_the_environment(
    invoke: Invoke, store: MemoryStore, tmp_path: Path
) -> None:
    handle, _ = stored(store)
    file = tmp_path / "keys"
    file.write_text(f"{'n' * 43}\n\n  {SECRET}\n")
    wrong = {"SESSIONSTORE_SECRET_KEY": "w" * 43}
    arguments = ("inspect", "memory://", handle)
    assert invoke(*arguments, "--secret-key-file", str(file), **wrong).exit_code == 0
    assert invoke(*arguments, **wrong).exit_code == 1
    file.write_text("\n")
    assert "has no key in it" in invoke(*arguments, "--secret-key-file", str(file)).stderr


def test_encrypted_sessions_need_their_key(
    invoke: Invoke, store: MemoryStore, tmp_path: Path
) -> None:
    handle, _ = stored(store, encryption_keys=["e" * 43])
    arguments = ("inspect", "memory://", handle)
    file = tmp_path / "encryption"
    file.write_text("n" * 43 + "\n" + "e" * 43)
    assert "an encryption key missing?" in " ".join(invoke(*arguments, **KEYS).stderr.split())
    assert invoke(*arguments, **KEYS, SESSIONSTORE_ENCRYPTION_KEY="e" * 43).exit_code == 0
    assert invoke(*arguments, "--encryption-key-file", str(file), **KEYS).exit_code == 0


def test_records_that_cannot_be_read_say_why(invoke: Invoke, store: MemoryStore) -> None:
    handle, _ = stored(store)
    key = store.key(handle)
    entry = do(store, store.load(key))
    assert entry is not None
    value = entry.value
    for damaged, why in (
        (b"\x02" + value[1:], "its format is not one"),
        (value[:-1] + bytes([value[-1] ^ 1]), "not what one of the keys has authenticated"),
        (value[:40], "damaged"),
    ):
        do(store, store.delete(key))
        do(store, store.create(key, damaged, 60))
        result = invoke("inspect", "memory://", handle, **KEYS)
        assert result.exit_code == 1
        assert why in " ".join(result.stderr.split())
        assert f"a record of {len(damaged)} bytes" in result.stderr


def test_larger_than_the_default_limit(invoke: Invoke, store: MemoryStore) -> None:
    """An app's own ``max_size`` is not known here."""
    sessions = manager(store, max_size=2**22)
    session = sessions.open(None)
    session["text"] = "x" * 2**21
    sessions.commit(session)
    result = invoke("inspect", "memory://", session.handle, "--json", **KEYS)
    assert json.loads(result.stdout)["attributes"][0]["bytes"] > 2**21


def test_a_store_that_fails(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("inspect", f"redis+unix://{tmp_path}/none.sock", "a" * 16, **KEYS)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: The store cannot be reached: ")
