"""The corpus once more, without a fuzzer: what was found stays found."""

from __future__ import annotations

import re
import socket

import pytest

from tests.fuzz.replay import CORPUS, replay
from tests.fuzz.targets import TARGETS

HOST = socket.gethostname().encode()
FILES = {name: sorted((CORPUS / name).glob("*")) for name in TARGETS}


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus(name: str) -> None:
    assert FILES[name], "fuzz it once: make fuzz"
    for path in FILES[name]:
        replay(name, path)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds(name: str) -> None:
    target = TARGETS[name]
    for seed in target.seeds():
        assert len(seed) <= target.max_len, "the fuzzer would cut it"
        target.run(seed)


@pytest.mark.once
def test_the_corpus_is_small_and_says_nothing_of_where_it_was_made() -> None:
    files = [path for path in CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= TARGETS.keys()
    assert sum(path.stat().st_size for path in files) < 400_000
    place = re.compile(rb"/(home|opt|root|tmp|usr|var|work)/|" + re.escape(HOST))
    assert not [path for path in files if place.search(path.read_bytes())]
