"""Which servers are left out and taken back, and that all processes agree on it."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from sessionstore.stores.attempts import Failure
from sessionstore.stores.memcached.endpoint import Endpoint
from sessionstore.stores.memcached.membership import MISSES, PACE, Membership
from sessionstore.stores.memcached.notes import Note, Notes, Run, State
from sessionstore.stores.memcached.topology import Fixed, Node
from tests.stores.memcached.simulation import World

SILENCE, KEEP_OUT, EPOCH = 3.0, 3600.0, 1_800_000_000
RUN = Run(EPOCH - 1000)
A, B, C = "abc"


class Clock:
    """Stands still until a test says otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Alone:
    """One process, whose looks a test makes; the servers keep its notes."""

    def __init__(self, labels: str = "abc") -> None:
        self.clock = Clock()
        self.nodes = {label: Node(Endpoint(host=label), 1.0) for label in labels}
        self.stored: dict[str, Notes] = {label: {} for label in labels}
        self.runs = dict.fromkeys(labels, RUN)
        self.membership = Membership(
            Fixed(list(self.nodes.values())),
            silence=SILENCE,
            keep_out=KEEP_OUT,
            clock=self.clock,
            wall=lambda: EPOCH + self.clock.now - 1000,
        )

    def round(self, *silent: str, seconds: float = 0.5) -> None:
        """Look at every server once."""
        self.clock.now += seconds
        for label, node in self.nodes.items():
            if label in silent:
                self.membership.missed(node, self.clock.now)
                continue
            notes = self.stored[label]
            self.membership.told(node, self.runs[label], notes, self.clock.now)
            wanted = self.membership.wanted_on(node)
            if wanted is not None:
                self.stored[label] = wanted

    def rounds(self, seconds: float, *silent: str) -> None:
        for _ in range(int(seconds * 2)):
            self.round(*silent)

    def state(self, label: str) -> State:
        return self.membership.state(self.nodes[label])

    def states(self) -> str:
        return " ".join(self.state(label).name for label in self.nodes)

    def key_of(self, label: str) -> bytes:
        """A key of its share."""
        keys = (b"k%d" % number for number in range(1000))
        return next(key for key in keys if self.walk(key)[0] == label)

    def walk(self, key: bytes) -> list[str]:
        return [node.endpoint.label for node in self.membership.topology.walk(key)]


@pytest.fixture
def alone() -> Alone:
    alone = Alone()
    alone.rounds(2)
    return alone


# -- one process --


def test_at_first_nobody_knows_anything() -> None:
    alone = Alone()
    assert not alone.membership.is_current()
    alone.membership.told(alone.nodes[A], RUN, {}, alone.clock.now)
    alone.membership.told(alone.nodes[B], RUN, {}, alone.clock.now)
    assert not alone.membership.is_current(), "of c nothing is known yet"
    alone.membership.missed(alone.nodes[C], alone.clock.now)
    assert alone.membership.is_current(), "it was looked at, which is what counts"


def test_the_lease_ends(alone: Alone) -> None:
    alone.clock.now += PACE.lease
    assert alone.membership.is_current()
    alone.clock.now += 0.01
    assert not alone.membership.is_current()


def test_a_look_counts_from_its_beginning(alone: Alone) -> None:
    """Whatever was noted while it was under way, it may have missed."""
    began = alone.clock.now
    alone.clock.now += PACE.lease + 1
    for node in alone.nodes.values():
        alone.membership.told(node, RUN, {}, began)
    assert not alone.membership.is_current()


def test_whoever_hears_nobody_knows_nothing(alone: Alone) -> None:
    alone.rounds(PACE.lease + 0.5, A, B, C)
    assert not alone.membership.is_current()


def test_the_life_of_a_loss(alone: Alone, caplog: pytest.LogCaptureFixture) -> None:
    key = alone.key_of(A)
    first, second, third = alone.walk(key)
    alone.rounds(SILENCE - 0.5, A)
    assert alone.states() == "IN IN IN"
    alone.rounds(1.5, A)
    assert alone.states() == "LEAVING IN IN"
    assert alone.membership.places(key).look[0] is alone.nodes[A]
    with pytest.raises(Failure, match="it does not answer, and is being left out"):
        alone.membership.check(alone.nodes[A])
    alone.rounds(PACE.settle, A)
    assert alone.states() == "OUT IN IN"
    places = alone.membership.places(key)
    assert [node.endpoint.label for node in places.look] == [second, third]
    assert alone.membership.trouble(alone.nodes[A]) == "it does not answer, and is left out"
    alone.round()
    assert alone.states() == "OUT IN IN", "back as it was"
    assert "kept out" in (alone.membership.trouble(alone.nodes[A]) or "")
    with pytest.raises(Failure, match="kept out"):
        alone.membership.check(alone.nodes[A])
    alone.runs[A] = Run(EPOCH + 1)
    alone.round()
    assert alone.states() == "JOINING IN IN"
    places = alone.membership.places(key)
    assert [node.endpoint.label for node in places.look] == [first, second, third]
    assert [node.endpoint.label for node in places.make] == [second, third]
    alone.rounds(PACE.settle + 0.5)
    assert alone.states() == "IN IN IN"
    assert all(record.levelno == logging.WARNING for record in caplog.records)
    back = "it came back with what it had, which may be out of date: restart it or flush it"
    assert [record.getMessage() for record in caplog.records] == [
        "session store: a:11211 does not answer, and is being left out",
        "session store: a:11211 is left out: its share of the sessions is the next server's",
        f"session store: a:11211 is kept out, because {back}",
        "session store: a:11211 is taken back: it was restarted",
    ]


def left_out(alone: Alone, label: str = A) -> None:
    alone.rounds(SILENCE + PACE.settle + 2, label)
    assert alone.state(label) is State.OUT


@pytest.mark.parametrize(
    ("run", "why"),
    [
        (Run(RUN.started, 1), "it was flushed"),
        (Run(RUN.started + 1), "it was restarted"),
        (Run(RUN.started + 1, 5), "it was restarted"),
    ],
)
def test_what_brings_it_back(
    alone: Alone, run: Run, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    left_out(alone)
    alone.runs[A] = run
    alone.round()
    assert alone.state(A) is State.JOINING
    assert f"a:11211 is taken back: {why}" in caplog.text


@pytest.mark.parametrize("run", [RUN, Run(RUN.started - 1), Run(RUN.started - 1, 7)])
def test_what_does_not(alone: Alone, run: Run) -> None:
    left_out(alone)
    alone.runs[A] = run
    alone.rounds(60)
    assert alone.state(A) is State.OUT


def test_what_it_has_is_older_than_any_session(
    alone: Alone, caplog: pytest.LogCaptureFixture
) -> None:
    left_out(alone)
    for _ in range(3):
        # However long it is dead, it does not come and go.
        alone.clock.now += KEEP_OUT
        alone.rounds(10, A)
        assert alone.state(A) is State.OUT
    alone.round()
    assert alone.state(A) is State.JOINING
    assert "a:11211 is taken back: what it holds is older than any session" in caplog.text
    alone.rounds(PACE.settle + 1)
    assert alone.states() == "IN IN IN"
    # And once more, the same run.
    left_out(alone)
    alone.rounds(60)
    assert alone.state(A) is State.OUT


def test_a_short_silence_is_none(alone: Alone) -> None:
    for _ in range(5):
        alone.rounds(SILENCE - 0.5, A)
        alone.round()
    assert alone.states() == "IN IN IN"
    assert not any(note.since for notes in alone.stored.values() for note in notes.values())


def test_few_misses_are_no_silence(alone: Alone) -> None:
    """Of a process that was suspended, say."""
    for _ in range(MISSES - 1):
        alone.clock.now += 10
        alone.round(A)
    alone.round()
    alone.rounds(4)
    assert alone.states() == "IN IN IN"


def test_a_process_that_was_cut_off_from_all_blames_none(alone: Alone) -> None:
    alone.rounds(30, A, B, C)
    alone.round(B, C)  # the first that answers again
    alone.rounds(20)
    assert alone.states() == "IN IN IN"
    assert not any(note.since for notes in alone.stored.values() for note in notes.values())


def test_the_last_one_is_not_left_out(alone: Alone) -> None:
    left_out(alone, A)
    left_out(alone, B)
    alone.rounds(30, A, B, C)
    alone.rounds(PACE.lease + 1, A, B)
    assert alone.states() == "OUT OUT IN"
    assert alone.membership.places(b"k").make == (alone.nodes[C],)


def test_all_left_out(alone: Alone) -> None:
    """By several processes at once, each of which missed another one."""
    notes = {label: Note(RUN, 0, State.OUT, EPOCH) for label in "abc"}
    alone.stored = dict.fromkeys("abc", notes)
    alone.round()
    with pytest.raises(Failure, match="all servers are left out"):
        alone.membership.places(b"k")


def test_one_that_was_never_heard() -> None:
    """There is no run to note: the time has to do, which its statistics are a little ahead of."""
    alone = Alone()
    left_out(alone)
    since = alone.stored[B][A].since
    for started in (since - 5, since - SILENCE):
        alone.runs[A] = Run(int(started))
        alone.round()
        assert alone.state(A) is State.OUT
    alone.runs[A] = Run(since - 2)  # now, as memcached 1.6 says
    alone.round()
    assert alone.state(A) is State.JOINING


def test_a_note_that_is_read_is_acted_upon_as_it_says(alone: Alone) -> None:
    """One that somebody has acted upon needs no settling: everybody knows it."""
    for state in (State.LEAVING, State.OUT):
        alone.stored[B] = {**alone.stored[B], A: Note(RUN, 0, state, EPOCH)}
        alone.round()
        assert alone.state(A) is state
        assert alone.stored[C][A].state is state, "and it is passed on"
    alone.round()
    assert alone.stored[A][A].state is State.OUT, "to the server itself, too, if it answers"


def test_what_somebody_else_has_heard_of_a_server_counts(alone: Alone) -> None:
    """Or one process would leave out what the other uses, with another run each in mind."""
    left_out(alone)
    newer = Note(Run(RUN.started + 9), 0, State.IN)
    alone.stored[C] = {**alone.stored[C], A: newer}
    alone.round(A)
    assert alone.state(A) is State.IN
    alone.round(A)
    assert alone.state(A) is State.IN, "it is given time to be heard"
    left_out(alone)
    assert alone.stored[B][A].run == newer.run


def test_a_new_process_that_hears_a_server_before_it_reads_of_it() -> None:
    """That the others have left it out counts all the same."""
    alone = Alone("ab")
    alone.stored[B] = {A: Note(Run(RUN.started - 9), 0, State.OUT, EPOCH)}
    alone.round()
    alone.round()
    assert alone.state(A) is State.JOINING
    assert alone.stored[B][A] == Note(RUN, 0, State.JOINING)


def test_notes_are_written_once(alone: Alone) -> None:
    left_out(alone)
    before = dict(alone.stored)
    alone.rounds(30, A)
    assert alone.stored == before


def test_a_holder_that_was_restarted_gets_the_notes_again(alone: Alone) -> None:
    left_out(alone)
    alone.stored[B] = {}
    alone.runs[B] = Run(RUN.started + 5)
    alone.round(A)
    assert alone.stored[B][A].state is State.OUT


def test_what_is_about_servers_of_another_configuration_is_left_alone(alone: Alone) -> None:
    foreign = {f"other{number}": Note(RUN) for number in range(3)}
    alone.stored[B] = {**alone.stored[B], **foreign}
    left_out(alone)
    assert foreign.items() <= alone.stored[B].items()
    # But it cannot crowd out what is ours.
    alone.stored[B] = {f"other{number}": Note(RUN) for number in range(256)}
    alone.round(A)
    assert set(alone.stored[B]) == set("abc")


def test_settling_begins_anew_after_a_gap(alone: Alone) -> None:
    """Nobody may have been able to read the note meanwhile."""
    alone.rounds(SILENCE + 1, A)
    assert alone.state(A) is State.LEAVING
    alone.rounds(PACE.settle + 5, A, B, C)
    alone.round(A)
    assert alone.state(A) is State.LEAVING
    alone.rounds(PACE.settle + 1, A)
    assert alone.state(A) is State.OUT


@pytest.mark.parametrize("labels", ["ab", "abc"])
def test_whoever_was_away_must_ask_somebody_else(labels: str) -> None:
    """It may have been left out meanwhile, and does not know by itself."""
    alone = Alone(labels)
    alone.rounds(2)
    others = [label for label in labels if label != A]
    alone.rounds(PACE.lease + 2, *labels)
    alone.round(*others)
    assert alone.state(A) is State.LEAVING
    assert alone.membership.trouble(alone.nodes[A]) == (
        "nobody can be asked whether it was left out"
    )
    alone.round()
    assert alone.state(A) is State.IN


def test_a_server_that_answers_with_errors_is_not_lost(alone: Alone) -> None:
    for _ in range(60):
        alone.round()
        alone.membership.missed(alone.nodes[A], alone.clock.now, silent=False)
    assert alone.states() == "IN IN IN"


def test_after_a_pause_everything_is_looked_at_again(alone: Alone) -> None:
    for pause in (alone.membership.begin, alone.membership.after_fork):
        alone.round()
        assert alone.membership.is_current()
        pause()
        assert not alone.membership.is_current()


# -- a topology that changes --


class Changing(Fixed):
    """Has a server more or less, now and then."""

    def change(self, *nodes: Node) -> None:
        super().__init__(nodes)


def test_a_topology_that_changes() -> None:
    alone = Alone("abcd")
    *three, fourth = alone.nodes.values()
    topology = Changing(three)
    alone.membership = membership = Membership(
        topology, silence=SILENCE, keep_out=KEEP_OUT, clock=alone.clock
    )
    alone.rounds(2, "d")
    assert membership.is_current()
    topology.change(*three, fourth)
    assert membership.state(fourth) is State.OUT, "not yet"
    membership.follow()
    assert not membership.is_current(), "the new one was not looked at"
    alone.round()
    assert membership.is_current()
    assert alone.state("d") is State.JOINING
    alone.rounds(PACE.settle + 1)
    assert alone.states() == "IN IN IN IN"
    topology.change(*three)
    membership.follow()
    assert membership.is_current()
    assert membership.state(fourth) is State.OUT
    assert membership.trouble(fourth) == "it is not one of the servers any more"
    with pytest.raises(Failure, match="not one of the servers"):
        membership.check(fourth)
    # A vigil that has not ended yet.
    membership.told(fourth, RUN, {}, alone.clock.now)
    membership.missed(fourth, alone.clock.now)
    assert membership.wanted_on(fourth) is None


# -- several processes --

SEEDS = (3, *range(20, 28))
"""Lives in which each of the planted bugs below shows."""


@pytest.mark.once
@pytest.mark.parametrize("servers", [2, 3, 4])
def test_all_processes_agree(servers: int) -> None:
    served = left = 0
    for seed in SEEDS[: 10 - servers]:
        world = World(seed, servers, 3)
        world.live()
        served += world.served
        left += len(world.left)
    assert served > 1000
    assert left > 4, "or nothing was tested"


def impatient(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    """Acts on a note before all have read it."""
    return World(seed, 3, 3, pace=PACE._replace(settle=0.3))


def everlasting(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    """Relies on whatever was read last, however long ago."""
    monkeypatch.setattr(Membership, "is_current", lambda self: True)
    return World(seed, 2, 3)


def credulous(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    """Takes a server back whatever it has."""
    return World(seed, 2, 3, keep_out=0.0)


def headstrong(seed: int, monkeypatch: pytest.MonkeyPatch) -> World:
    """Goes by its own notes alone."""
    monkeypatch.setattr(Membership, "_learn", lambda self, notes, now: None)
    return World(seed, 2, 3)


@pytest.mark.once
@pytest.mark.parametrize("planted", [impatient, everlasting, credulous, headstrong])
def test_planted_bugs_are_found(
    planted: Callable[[int, pytest.MonkeyPatch], World], monkeypatch: pytest.MonkeyPatch
) -> None:
    def live_all() -> None:
        for seed in SEEDS:
            planted(seed, monkeypatch).live()

    with pytest.raises(AssertionError):
        live_all()
