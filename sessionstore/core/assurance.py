"""How long a session may last at each authenticator assurance level of NIST SP 800-63B-4.

The standard knows two timeouts (section 5.2): an overall one, counted from the last
authentication, and one for inactivity. Only activity resets the second; authenticating again
resets both. Here a login sets ``created`` anew, and ``touched`` is the last recorded activity:
what is not recorded (``touch_interval``) ends a session earlier, never later.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from sessionstore.core import expiry
from sessionstore.core.errors import ConfigurationError
from sessionstore.core.record import Record

Level = Literal["aal1", "aal2", "aal3"]


class Limits(NamedTuple):
    """The longest that a session may last.

    :param name: whose limits these are, for messages
    :param overall: seconds since its creation, or its last login
    :param idle: seconds without activity
    """

    name: str
    overall: float = expiry.MAX_LIFETIME
    idle: float = expiry.MAX_LIFETIME

    def check_idle(self, setting: str, seconds: float | None) -> None:
        """Refuse an idle timeout above the level's.

        :param setting: the name by which the site knows it
        :raises ConfigurationError: naming the limit
        """
        self._check(setting, seconds, self.idle)

    def check_overall(self, setting: str, seconds: float | None) -> None:
        """Refuse an absolute timeout above the level's.

        :raises ConfigurationError: naming the limit
        """
        self._check(setting, seconds, self.overall)

    def _check(self, setting: str, seconds: float | None, most: float) -> None:
        if self.name in LEVELS and seconds is not None and seconds > most:
            raise ConfigurationError(
                f"{setting}={seconds!r}: {self.name} has at most {most:.0f} seconds"
                " (NIST SP 800-63B-4)"
            )

    def hold(self, record: Record) -> Record:
        """The record with its deadlines brought within these limits, whoever wrote it."""
        absolute = record.created + self.overall
        if record.idle <= self.idle and record.absolute <= absolute:
            return record
        return record._replace(
            idle=min(record.idle, self.idle), absolute=min(record.absolute, absolute)
        )


LEVELS: Final[dict[str, Limits]] = {
    "aal1": Limits("aal1", overall=30 * 86400.0, idle=30 * 86400.0),
    "aal2": Limits("aal2", overall=24 * 3600.0, idle=3600.0),
    "aal3": Limits("aal3", overall=12 * 3600.0, idle=15 * 60.0),
}
"""Sections 2.1.3 (no limit of its own for inactivity), 2.2.3 and 2.3.3."""

NONE: Final = Limits("none")
"""A site that has chosen no level: a session may last as long as any store can keep it."""


def limits_of(level: str | None) -> Limits:
    """The limits of this level.

    :raises ConfigurationError: there is no such level
    """
    if level is None:
        return NONE
    limits = LEVELS.get(str(level))
    if limits is None:
        raise ConfigurationError(f"assurance={level!r}: use 'aal1', 'aal2', 'aal3' or None")
    return limits
