"""What is stored on several Memcached servers: notes of who is left out, homes and copies.

Nothing authenticates these bytes: whoever writes to the store writes them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from sessionstore.stores.base import Entry
from sessionstore.stores.memcached.items import Item, Kind
from sessionstore.stores.memcached.notes import MOST, Note, Run, State, pack, run_from, unpack
from tests.fuzz.source import Source

_STATS: Final = ("time", "uptime", "cmd_flush")
_NOTES: Final = {
    "10.0.0.1": Note(Run(1_800_000_000), 0, State.OUT, 1_800_003_600),
    "::1:9": Note(Run(1, 2), 3),
}


def stored(data: bytes) -> None:
    """An item of notes or of a session, and statistics that notes are made of."""
    source = Source(data)
    kind = source.number() % 3
    if kind == 0:
        notes = unpack(source.rest())
        assert len(notes) <= MOST
        assert unpack(pack(notes)) == notes
        for note in notes.values():
            assert note.is_about(note)
            assert not note.is_about(None)
    elif kind == 1:
        run = run_from({name: source.text() for name in _STATS})
        if run is not None:
            notes = {"node": Note(run, source.number(2), State.LEAVING, source.number(4))}
            assert unpack(pack(notes)) == notes
    else:
        value = source.rest()
        item = Item.unpack(Entry(value, 7))
        assert value.endswith(item.record)
        assert item.cas == 7
        # A record by itself, from before there were copies, is packed as the home that it is.
        assert item.pack() == value or item == Item(Kind.HOME, 0, 0, 0, 0, value, 7)
        assert Item.unpack(Entry(item.pack(), 7)) == item


def seeds() -> Iterator[bytes]:
    """One of each."""
    yield b"\0" + pack(_NOTES)
    yield b"\0" + pack(_NOTES) + b"\nx 1 2\n\n\xff 1 2 3\nx 1 2 3 4"
    yield b"\0" + b"x 1 2 3\n" * 300
    yield b"\1\x0a1800000100\x03100\x012" + bytes(4)
    yield b"\1\x01\x31\x03100\x012" + bytes(4)
    for kind in Kind:
        yield b"\2" + Item(kind, 1, 2, 3, 4, b"\1record").pack()
    yield b"\2" + Item(Kind.HOME, 1, 2, 3, 4, b"").buried()[:-1]
    yield b"\2\1revision 12.and a record without copies"
