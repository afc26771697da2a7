"""The cookie header, the choice among cookies of one name, and the token itself.

Nothing is accepted but, character for character, what a signer with the right key has made.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sessionstore.core import token as tokens
from sessionstore.core.cookies import find_values
from sessionstore.core.token import LONG_LIVED, MAX_CANDIDATES, TOKEN_LENGTH, Token, TokenSigner
from tests.fuzz.source import Source

NAME: Final = "session"
NOW: Final = 1_800_000_000.0
ABSOLUTE: Final = 30 * 86400.0
SKEW: Final = 5.0
KEY: Final = b"the fuzzer's new key, of 32 bytes or more"
OLD_KEY: Final = b"the fuzzer's old key, of 32 bytes or more"
FOREIGN: Final = b"a foreign key, which has 32 bytes or more"

_HANDLE: Final = bytes(range(12))
_SECRET: Final = bytes(range(100, 132))


def _signer(*keys: bytes) -> TokenSigner:
    return TokenSigner(*keys, absolute_timeout=ABSOLUTE, clock_skew=SKEW)


class _Counting(TokenSigner):
    """Counts how many tokens are looked at."""

    verified = 0

    def verify(self, text: str, now: float) -> Token | None:
        self.verified += 1
        return super().verify(text, now)


def _mint(key: bytes, age: float, flags: int = 0, number: int = 0) -> Token:
    handle = tokens.handle_text(bytes((number, *_HANDLE[1:])))
    return _signer(key).mint(handle, _SECRET, flags, NOW - age)


_GOOD: Final = [
    _mint(KEY, 0),
    _mint(KEY, 60, 1),
    _mint(KEY, 60, 3, number=1),
    _mint(KEY, -SKEW, number=2),
    _mint(KEY, ABSOLUTE, number=3),
    _mint(KEY, 10 * ABSOLUTE, LONG_LIVED),
    _mint(OLD_KEY, 5),
]
_BAD: Final = [
    _mint(KEY, -SKEW - 1),
    _mint(KEY, ABSOLUTE + 1),
    _mint(FOREIGN, 0),
]
ACCEPTED: Final = {each.text: each._replace(stale_key=each is _GOOD[-1]) for each in _GOOD}
TEXTS: Final = [each.text for each in (*_GOOD, *_BAD)]

_PAIR: Final = re.compile(rf"(?:^|;)[ \t]*{NAME}[ \t]*=([^;]*)")
_STANDS_FOR: Final = {0x80 + place: text for place, text in enumerate(TEXTS)}
"""A byte that stands for a whole token: a fuzzer would not find one by itself."""


def header(data: bytes) -> None:
    """A whole ``Cookie`` header, as servers hand it over: one character a byte."""
    text = data.decode("latin-1").translate(_STANDS_FOR)
    values = find_values(text, NAME)
    assert values == [found.strip(" \t") for found in _PAIR.findall(text)]
    _choose(values)


def _choose(values: Sequence[str]) -> None:
    signer = _Counting(KEY, OLD_KEY, absolute_timeout=ABSOLUTE, clock_skew=SKEW)
    chosen, ambiguous = signer.newest(values, NOW)
    assert signer.verified <= MAX_CANDIDATES
    candidates = [each for each in dict.fromkeys(values) if len(each) == TOKEN_LENGTH]
    valid = [ACCEPTED[each] for each in candidates[:MAX_CANDIDATES] if each in ACCEPTED]
    assert chosen == max(valid, key=lambda each: each.issued_at, default=None)
    assert ambiguous == (len(valid) > 1)


def token(data: bytes) -> None:
    """A token that was altered somehow, and one that is made of the fuzzer's bytes."""
    source = Source(data)
    if source.flag():
        _check_minted(source)
        return
    text = source.choice(TEXTS)
    for _ in range(source.number() % 4):
        text = _altered(text, source)
    found = _signer(KEY, OLD_KEY).verify(text, NOW)
    assert found == ACCEPTED.get(text)


def _altered(text: str, source: Source) -> str:
    place = source.number() % (len(text) + 1)
    change, remove = source.text(), source.number() % 3
    return text[:place] + change + text[place + remove :]


def _check_minted(source: Source) -> None:
    handle = tokens.handle_text(source.take(12).ljust(12, b"\0"))
    secret = source.take(32).ljust(32, b"\0")
    flags, issued_at, age = source.number() % 4, source.number(4), source.number(4) - 100
    signer = _signer(source.choice((KEY, OLD_KEY, FOREIGN)), FOREIGN)
    made = signer.mint(handle, secret, flags, issued_at)
    assert len(made.text) == TOKEN_LENGTH
    young = age <= ABSOLUTE or flags & LONG_LIVED
    expected = made if age >= -SKEW and young else None
    assert signer.verify(made.text, issued_at + age) == expected
    again = _signer(KEY, FOREIGN).sign_again(made, flags ^ 1)
    assert (again.secret, again.issued_at, again.flags) == (secret, issued_at, flags ^ 1)
    spoiled = _altered(made.text, source)
    if spoiled != made.text:
        assert signer.verify(spoiled, issued_at + age) is None


def seeds() -> Iterator[bytes]:
    """Headers such as browsers and attackers send."""
    yield b"session=" + TEXTS[0].encode()
    for place in range(len(TEXTS)):
        yield b"a=1; session=%c; b=2" % (0x80 + place)
    yield b"session=\x80; session=\x81;session=\x86 ; session=junk"
    yield b"session=\x88; session=\x87; session=\x89; session=\x80; session=\x81"
    yield b'session="\x80"; Session=\x80; =session; session; ;; session =\x82'
    yield b"session=%b; " % (b"x" * TOKEN_LENGTH) * 5 + b"session=\x80"


def token_seeds() -> Iterator[bytes]:
    """Each token as it is, cut, with another last character; and some to mint."""
    for place in range(len(TEXTS)):
        yield bytes((0, place, 0))
    yield b"\0\0\1\x6e\1A\1"
    yield b"\0\0\1\x6f\1=\0"
    yield b"\0\0\1\x10\3\xff\xfe.\1"
    yield b"\1" + bytes(12) + bytes(32) + b"\3\x6b\x49\xd2\x00\x00\x00\x00\x64\0"
    yield b"\1" + b"\xff" * 12 + b"\xff" * 32 + b"\2\x6b\x49\xd2\x00\x7f\x00\x00\x64\1\5\1x"
