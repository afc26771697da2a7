"""What a session is, said a second time: in plain values and without a store.

Nothing here uses the flows that are tested. What is stored is read by the record's own decoder,
because the format is not what is modelled; what must become of it is computed anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from itsdangerous import Signer
from itsdangerous.encoding import base64_decode

from sessionstore.core import codec, record
from sessionstore.core.errors import RecordUnreadable
from sessionstore.core.sealing import Sealer
from sessionstore.core.state import Lifetime

HOUR: Final = 3600.0
IDLE: Final = HOUR
TOUCH: Final = IDLE / 10
"""The activity that need not be recorded, unless the app has asked for another lifetime."""
ABSOLUTE: Final = 1.5 * HOUR
GRACE: Final = 10.0
CLOCK_SKEW: Final = 5.0
IDENTITY: Final = "_user_id"
"""An attribute by which a framework says who is logged in: it goes when another logs in."""
SECRET: Final = slice(17, 60)
"""Where a token has its secret, with two flags in the last character."""
_ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


@dataclass(frozen=True)
class Kept:
    """A session as it is stored. Times are seconds since the epoch.

    :param secret: hash of the secret that opens it
    :param previous: the beginning of the hash of the one before, and until when that is good
    :param writes: ids of the last writes, newest first
    :param key_id: names the key that it is sealed with
    """

    attributes: dict[str, Any]
    subject: str | None
    epoch: int
    secret: bytes
    previous: tuple[bytes, float] | None
    created: float
    authenticated: float | None
    touched: float
    idle: float
    absolute: float
    browser: bool
    counter: int
    writes: tuple[bytes, ...]
    key_id: bytes

    @property
    def deadline(self) -> float:
        """When it ends unless somebody is active."""
        return min(self.touched + self.idle, self.absolute)


@dataclass(frozen=True)
class Spoiled:
    """A stored value that is nobody's session: altered, or copied from elsewhere."""

    value: bytes


Stored = Kept | Spoiled | None


class Reader:
    """Reads stored values with every key there is."""

    def __init__(self, keys: list[bytes], encryption: list[bytes]) -> None:
        self._sealer = Sealer(keys, encryption)

    def __call__(self, handle: str, value: bytes) -> Kept | Spoiled:
        try:
            found = record.decode(value, handle, self._sealer)
        except RecordUnreadable:
            return Spoiled(value)
        previous = found.previous
        return Kept(
            attributes={name: codec.decode(data) for name, data in found.attributes.items()},
            subject=found.subject,
            epoch=found.epoch,
            secret=found.secret_hash,
            previous=None if previous is None else (previous.hash, previous.grace_until),
            created=found.created,
            authenticated=found.authenticated,
            touched=found.touched,
            idle=found.idle,
            absolute=found.absolute,
            browser=found.browser,
            counter=found.counter,
            writes=found.write_ids,
            key_id=value[13:15],
        )


@dataclass
class Wanted:
    """What one commit is asked for.

    :param now: when it began
    :param baseline: the attributes as the request last saw them
    :param values: the attributes as the request leaves them
    :param own: names that this request set itself
    :param destroy: whether what was there is to end
    :param replaces: whether everything else goes (``clear()``)
    :param leaves: whether it signs somebody out and keeps the session
    :param written: whether the app wrote, be it equal values
    :param looked: whether the app looked at its session at all
    :param accessed: whether reading counts
    :param force: an explicit save
    :param lifetime: what the app asked for
    :param base: the idle timeout and the absolute deadline as the request last saw them
    """

    now: float
    baseline: dict[str, Any]
    values: dict[str, Any]
    own: frozenset[str]
    destroy: bool
    replaces: bool
    login: str | None
    leaves: bool
    rotate: bool
    written: bool
    looked: bool
    accessed: bool
    force: bool
    lifetime: Lifetime | None
    base: tuple[float, float] | None
    changed: dict[str, Any] = field(init=False)
    removed: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        baseline = {} if self.replaces else self.baseline
        self.changed = {
            name: value
            for name, value in self.values.items()
            if name not in baseline or baseline[name] != value
        }
        self.removed = frozenset(baseline.keys() - self.values.keys())
        self.own = frozenset((self.own & self.values.keys()) | self.changed.keys())

    @property
    def changes_hands(self) -> bool:
        """Whether somebody is signed in or out."""
        return self.login is not None or self.leaves

    @property
    def writes(self) -> bool:
        """Whether there is more to store than that the session is in use."""
        return bool(
            self.written
            or self.changes_hands
            or self.rotate
            or self.changed
            or self.removed
            or self.replaces
            or (self.lifetime is not None and self.base is not None)
        )

    def merged(self, theirs: Kept) -> dict[str, Any]:
        """The attributes after this commit, on top of what is stored."""
        if self.replaces:
            attributes = dict(self.changed)
        else:
            kept = {n: v for n, v in theirs.attributes.items() if n not in self.removed}
            attributes = kept | self.changed
            self._join_flashes(attributes, theirs)
        if self.login is not None and theirs.subject not in (None, self.login):
            return {name: value for name, value in attributes.items() if name in self.own}
        if self.login is not None and self.login != theirs.subject and IDENTITY not in self.own:
            attributes.pop(IDENTITY, None)
        return attributes

    def _join_flashes(self, attributes: dict[str, Any], theirs: Kept) -> None:
        """``_flashes`` is the one attribute with a merge function."""
        name = "_flashes"
        base, now = self.baseline.get(name), theirs.attributes.get(name)
        if now == base or (name not in self.changed and name not in self.removed):
            return
        joined = _appended(base or [], now or [], attributes.pop(name, None) or [])
        if joined:
            attributes[name] = joined


def _appended(base: list[Any], theirs: list[Any], ours: list[Any]) -> list[Any]:
    if ours[: len(base)] == base:
        return theirs + ours[len(base) :]
    if theirs[: len(base)] == base:
        return theirs[len(base) :] + ours
    return theirs + ours


def begun(wanted: Wanted, own: dict[str, Any], actual: Kept, key_id: bytes) -> Kept:
    """What a session must be that begins now. What is random is taken from what it is."""
    lifetime = wanted.lifetime or Lifetime(IDLE)
    return Kept(
        attributes=own,
        subject=wanted.login,
        epoch=0,
        secret=actual.secret,
        previous=None,
        created=wanted.now,
        authenticated=None if wanted.login is None else wanted.now,
        touched=wanted.now,
        idle=lifetime.idle,
        absolute=lifetime.absolute or wanted.now + ABSOLUTE,
        browser=lifetime.browser,
        counter=1,
        writes=actual.writes[:1],
        key_id=key_id,
    )


def following(
    before: Kept,
    wanted: Wanted,
    actual: Kept,
    key_id: bytes,
    *,
    new_secret: bool,
    leaves_key_behind: bool,
) -> Kept:
    """What a session must be after this commit. What is random is taken from what it is.

    :param leaves_key_behind: whether the client's token is under a retired key and cannot be sent
        anew: then the next request is to find that a touch is due
    """
    after = replace(
        before,
        touched=max(before.touched, wanted.now),
        counter=before.counter + 1,
        writes=(actual.writes[0], *before.writes[:3]),
        key_id=key_id,
    )
    if wanted.writes:
        after = _written(after, before, wanted, actual, new_secret=new_secret)
    if leaves_key_behind:
        touched = max(before.touched, wanted.now - after.idle / 10)
        after = replace(after, touched=_rounded(touched))
    return after


def _rounded(seconds: float) -> float:
    """As a record keeps it, to the millisecond."""
    return round(seconds * 1000) / 1000


def _written(after: Kept, before: Kept, wanted: Wanted, actual: Kept, *, new_secret: bool) -> Kept:
    after = replace(after, attributes=wanted.merged(before))
    after = _with_deadlines(after, wanted)
    if wanted.changes_hands:
        after = replace(
            after,
            subject=wanted.login,
            epoch=before.epoch + 1,
            authenticated=None if wanted.login is None else wanted.now,
            previous=None if before.previous is None else (before.previous[0], 0.0),
        )
    if new_secret:
        grace = 0.0 if wanted.changes_hands else wanted.now + GRACE
        after = replace(after, secret=actual.secret, previous=(before.secret[:8], grace))
    return after


def _with_deadlines(before: Kept, wanted: Wanted) -> Kept:
    """A login begins them anew; else, of what two requests have set, the earlier counts."""
    if wanted.lifetime is None and wanted.login is None:
        return before
    lifetime = wanted.lifetime or Lifetime(before.idle, browser=before.browser)
    created = before.created if wanted.login is None else wanted.now
    idle, absolute = lifetime.idle, lifetime.absolute or created + ABSOLUTE
    if wanted.login is None and wanted.base not in {None, (before.idle, before.absolute)}:
        idle, absolute = min(idle, before.idle), min(absolute, before.absolute)
    return replace(before, created=created, idle=idle, absolute=absolute, browser=lifetime.browser)


def ends_at_once(before: Kept, wanted: Wanted) -> bool:
    """Whether the app has asked for deadlines that have passed."""
    active = replace(before, touched=max(before.touched, wanted.now))
    return _with_deadlines(active, wanted).deadline <= wanted.now


def secret_of(token: str) -> bytes:
    """The hash of a token's secret, as a record has it."""
    return hashlib.sha256(base64_decode(token[SECRET])).digest()


def signed_by(token: str, keys: Sequence[bytes]) -> bytes | None:
    """Which of the keys has signed it, in the one spelling that a signature has."""
    for key in keys:
        signer = Signer(
            key, salt=b"sessionstore.token", key_derivation="hmac", digest_method=hashlib.sha256
        )
        if signer.sign(token[:67]).decode() == token:
            return key
    return None


def is_long_lived(token: str) -> bool:
    """Whether its age says nothing, because its session was given a longer life."""
    return bool(_ALPHABET.index(token[SECRET][-1]) & 2)


def issued_at(token: str) -> float:
    """When it was minted, in seconds since the epoch."""
    return int.from_bytes(base64_decode(token[61:67]), "big")
