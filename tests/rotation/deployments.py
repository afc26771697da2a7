"""App servers that are deployed one after the other, as docs/how-to/rotate-keys.md says."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sessionstore import open_store
from tests.support.sites import Action, Answer, DjangoSite, Site

OLD: Final = "the old key: thirty-two bytes or more, for tests"
NEW: Final = "the new key: thirty-two bytes or more, for tests"
OLD_CIPHER: Final = "the old encryption key: thirty-two bytes or more"
NEW_CIPHER: Final = "the new encryption key: thirty-two bytes or more"

TOUCH_INTERVAL: Final = 0.02
"""Seconds. In a test, whoever only reads is to be touched (and so signed anew) within a moment."""

# Django's settings belong to the process, and those of two servers differ here.
_one_at_a_time: Final = threading.Lock()


@dataclass(frozen=True)
class Keys:
    """What one deployment configures, newest first."""

    name: str
    signing: tuple[str, ...]
    encryption: tuple[str, ...]


BEFORE: Final = Keys("before", (OLD,), (OLD_CIPHER,))
STEP_1: Final = Keys("step 1", (OLD, NEW), (OLD_CIPHER, NEW_CIPHER))
STEP_2: Final = Keys("step 2", (NEW, OLD), (NEW_CIPHER, OLD_CIPHER))
STEP_3: Final = Keys("step 3", (NEW,), (NEW_CIPHER,))


class Server:
    """One app server: a site of one framework, and another in its place after each deployment."""

    def __init__(self, kind: type[Site], url: str, *, encrypts: bool) -> None:
        self.kind = kind
        self.store = open_store(url)
        self._encrypts = encrypts
        self.deploy(BEFORE)

    def deploy(self, keys: Keys) -> None:
        """Requests that have begun go on as they began; later ones meet the new keys."""
        more: dict[str, Any] = {"encryption_keys": keys.encryption} if self._encrypts else {}
        if self.kind is DjangoSite:
            more["touch_on_read"] = True
        with self._alone():
            self._site = self.kind(
                self.store,
                keys.signing[0],
                secret_key_fallbacks=keys.signing[1:],
                touch_interval=TOUCH_INTERVAL,
                **more,
            )

    def request(self, action: Action, cookie: bytes | None = None) -> Answer:
        """One request to this server."""
        with self._alone():
            return self._site.request(action, cookie)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self.kind is not DjangoSite:
            yield
            return
        with _one_at_a_time:
            yield

    def close(self) -> None:
        """Close its connections."""
        self.store.close()
