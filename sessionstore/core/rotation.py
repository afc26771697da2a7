"""How a record becomes the next one: rotation, login, epochs and deadlines. Pure functions.

A rotation keeps the handle and changes the secret. One that changes the subject (or signs the
same one in again) kills the old secret at once and counts up the epoch, by which requests that
began before it know that the session is not theirs any more. One that does not leaves the old
secret ``rotation_grace`` seconds, so that parallel requests are not logged out by a step-up.
"""

from __future__ import annotations

from typing import Final

from sessionstore.core.config import SessionConfig
from sessionstore.core.intent import Entropy, Intent
from sessionstore.core.record import WRITE_ID_BYTES, Previous, Record
from sessionstore.core.state import Lifetime
from sessionstore.core.token import SECRET_BYTES, secret_hash

_WRITE_IDS: Final = 4
_PREVIOUS_HASH_BYTES: Final = 8


def first(
    intent: Intent,
    attributes: dict[str, bytes],
    config: SessionConfig,
    secret: bytes,
    now: float,
    entropy: Entropy,
) -> Record:
    """The record of a session that begins now."""
    lifetime = intent.lifetime or Lifetime(config.idle_timeout, browser=config.browser_session)
    return Record(
        counter=1,
        write_ids=(entropy(WRITE_ID_BYTES),),
        secret_hash=secret_hash(secret),
        previous=None,
        epoch=0,
        created=now,
        authenticated=None if intent.login is None else now,
        touched=now,
        idle=min(lifetime.idle, config.limits.idle),
        absolute=_absolute(lifetime, config, now),
        browser=lifetime.browser,
        subject=intent.login,
        attributes=attributes,
    )


def following(
    record: Record,
    intent: Intent,
    attributes: dict[str, bytes],
    config: SessionConfig,
    now: float,
    entropy: Entropy,
) -> Record:
    """The record after this request's write, under the same secret.

    :param record: what is stored now
    :param attributes: the attributes after it, merged
    """
    after = record._replace(
        counter=(record.counter + 1) % 2**32,
        write_ids=(entropy(WRITE_ID_BYTES), *record.write_ids[: _WRITE_IDS - 1]),
        touched=max(record.touched, now),
        attributes=attributes,
    )
    if intent.lifetime is not None or intent.login is not None:
        after = _with_deadlines(after, intent, config, now)
    if intent.changes_hands:
        authenticated = None if intent.login is None else now
        after = after._replace(
            subject=intent.login,
            authenticated=authenticated,
            epoch=(record.epoch + 1) % 2**32,
        )
    if after.previous is not None and intent.changes_hands:
        after = after._replace(previous=after.previous._replace(grace_until=0))
    return after


def rotated(record: Record, intent: Intent, secret: bytes, grace_until: float) -> Record:
    """The record under a new secret; the one before it stays known, and good for its grace."""
    grace = 0.0 if intent.changes_hands else grace_until
    return record._replace(
        secret_hash=secret_hash(secret),
        previous=Previous(record.secret_hash[:_PREVIOUS_HASH_BYTES], grace),
    )


def is_recent(record: Record, now: float) -> bool:
    """Whether the secret before is still in its grace, which another rotation would end."""
    return record.previous is not None and now < record.previous.grace_until


def new_secret(entropy: Entropy) -> bytes:
    """256 random bits."""
    return entropy(SECRET_BYTES)


def _with_deadlines(record: Record, intent: Intent, config: SessionConfig, now: float) -> Record:
    """Deadlines that this request sets; a login also resets those that nobody set."""
    lifetime = intent.lifetime or Lifetime(record.idle, browser=record.browser)
    created = record.created if intent.login is None else now
    idle = min(lifetime.idle, config.limits.idle)
    absolute = _absolute(lifetime, config, created)
    if intent.login is None and _have_moved(record, intent.deadlines):
        # Another request has set them meanwhile: the earlier ones count.
        idle, absolute = min(idle, record.idle), min(absolute, record.absolute)
    return record._replace(
        created=created,
        idle=idle,
        absolute=absolute,
        browser=lifetime.browser,
    )


def _have_moved(record: Record, seen: tuple[float, float] | None) -> bool:
    # As they are stored: this request's own record, kept from its last commit, is not rounded.
    return seen is not None and any(
        round(theirs * 1000) != round(ours * 1000)
        for theirs, ours in zip((record.idle, record.absolute), seen, strict=True)
    )


def _absolute(lifetime: Lifetime, config: SessionConfig, created: float) -> float:
    if lifetime.absolute is not None:
        return min(lifetime.absolute, created + config.limits.overall)
    return created + config.absolute_for(lifetime.idle)
