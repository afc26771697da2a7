"""Notes of which servers are left out: what is written can be read."""

from __future__ import annotations

from sessionstore.stores.memcached.notes import Note, Run, pack, run_from, unpack


def stats(time: str, uptime: str) -> dict[str, str]:
    return {"time": time, "uptime": uptime, "cmd_flush": "0"}


def test_a_server_that_was_started_before_1970_was_not() -> None:
    """A note about such a run could not be read by anybody."""
    assert run_from(stats("10", "11")) is None
    run = run_from(stats("10", "10"))
    assert run == Run(0)
    notes = {"node": Note(run, since=7)}
    assert unpack(pack(notes)) == notes
