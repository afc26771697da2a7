"""What a store returns: values that show nothing of what they hold."""

from __future__ import annotations

from sessionstore.core.verbs import REVISION, Conflict, Deleted, Entry, Exists, Missing


def test_results_are_told_apart_by_their_type_even_where_they_hold_nothing() -> None:
    results = [Exists(), Missing(), Deleted(), Conflict(Entry(b"", b"")), None, b"version"]
    assert len({type(result) for result in results}) == len(results)


def test_an_entrys_repr_shows_its_size_and_no_content() -> None:
    entry = Entry(b"\x01revision 12Bthe payload", b"revision 12B")
    assert repr(entry) == "<Entry 24 B>"
    assert repr(Conflict(entry)) == "Conflict(entry=<Entry 24 B>)"


def test_the_revision_has_a_fixed_place() -> None:
    assert b"\x01revision 12Bthe payload"[REVISION] == b"revision 12B"
