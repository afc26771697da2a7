"""What processes write down: what is written can be read, and the greater note counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessionstore.stores.memcached.notes import MOST, Note, Run, State, pack, run_from, unpack

NUMBER = 10**15 - 1
RUNS = st.builds(Run, st.integers(0, NUMBER), st.integers(0, NUMBER))
NOTES = st.builds(
    Note, RUNS, st.integers(0, 10**9 - 1), st.sampled_from(State), st.integers(0, NUMBER)
)
LABELS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80)
NOTE = Note(Run(1_800_000_000), 0, State.OUT, 1_800_000_500)


@given(st.dictionaries(LABELS, NOTES, max_size=20))
@settings(max_examples=40)
def test_what_is_written_can_be_read(notes: dict[str, Note]) -> None:
    assert unpack(pack(notes)) == notes


@given(st.binary())
def test_what_is_no_note_is_not_there(junk: bytes) -> None:
    line = pack({"a": NOTE})
    read = unpack(b"\n" + junk.replace(b"\n", b"") + b"\n" + line)
    assert read["a"] == NOTE
    assert unpack(pack(unpack(junk))) == unpack(junk)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"a",
        b"a 1 2 3 1",
        b"a 1 2 3 1 5 6",
        b"a 1 2 3 4 5",
        b"a -1 2 3 1 5",
        b"a 1 2 3 1 5\r",
        b"a  1 2 3 1 5",
        b" 1 2 3 1 5",
        b"a 1 2 3 1 \xd9\xa1",
        b"a 1 2 3 1 " + b"9" * 16,
        b"a 1 2 " + b"9" * 10 + b" 1 5",
        b"a" * 1001 + b" 1 2 3 1 5",
    ],
)
def test_a_line_that_is_none(line: bytes) -> None:
    assert unpack(line) == {}


def test_of_two_lines_about_one_server_the_greater_counts() -> None:
    newer = NOTE._replace(term=1, state=State.JOINING)
    lines = [pack({"a": NOTE}), pack({"a": newer})]
    assert unpack(b"\n".join(lines)) == unpack(b"\n".join(reversed(lines))) == {"a": newer}


def test_there_are_not_so_many_servers() -> None:
    notes = {f"{number:04}": NOTE for number in range(MOST + 9)}
    assert unpack(pack(notes)) == dict(list(notes.items())[:MOST])
    assert len(unpack(b"\n".join([pack({label: NOTE}) for label in notes]))) == MOST


def test_the_order_of_notes() -> None:
    run, restarted, flushed = Run(100, 5), Run(101, 0), Run(100, 6)
    in_order = [
        *(Note(run, 0, state) for state in (State.JOINING, State.IN)),
        *(Note(run, 0, State.LEAVING, since) for since in (7, 8)),
        *(Note(run, 0, State.OUT, since) for since in (7, 8)),
        Note(run, 1, State.JOINING),
        Note(flushed, 0, State.JOINING),
        Note(restarted, 0, State.JOINING),
    ]
    in_order.reverse()
    assert sorted(in_order, reverse=True) == in_order


def test_who_wrote_it_first_means_nothing() -> None:
    assert NOTE.is_about(NOTE._replace(since=1))
    assert not NOTE.is_about(None)
    assert not NOTE.is_about(NOTE._replace(state=State.LEAVING))
    assert not NOTE.is_about(NOTE._replace(term=1))
    assert not NOTE.is_about(NOTE._replace(run=Run(1)))


def stats(time: str, uptime: str, flushes: str = "0") -> dict[str, str]:
    return {"time": time, "uptime": uptime, "cmd_flush": flushes}


def test_what_statistics_say() -> None:
    assert run_from(stats("1800000100", "100", "2")) == Run(1_800_000_000, 2)
    for name in ("time", "uptime", "cmd_flush"):
        for odd in ("", "x", "-1", "1.5", "9" * 16, "\u0661"):
            assert run_from(stats("10", "1") | {name: odd}) is None
    assert run_from({}) is None


def test_a_server_that_was_started_before_1970_was_not() -> None:
    """A note about such a run could not be read by anybody."""
    assert run_from(stats("10", "11")) is None
    run = run_from(stats("10", "10"))
    assert run == Run(0)
    note = Note(run, 7)
    assert unpack(pack({"node": note})) == {"node": note}
