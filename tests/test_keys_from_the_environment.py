"""Keys from the environment bring their own fallbacks."""

from __future__ import annotations

import pytest

from sessionstore.settings import find_keys


def test_fallbacks_come_from_the_same_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SESSIONSTORE_SECRET_KEY", raising=False)
    monkeypatch.setenv("SESSIONSTORE_SECRET_KEY_FALLBACKS", "older oldest")
    assert find_keys(None, (), "framework", ["retired"]) == ("framework", ("retired",))
    monkeypatch.setenv("SESSIONSTORE_SECRET_KEY", "newest")
    assert find_keys(None, (), "framework", ["retired"]) == ("newest", ("older", "oldest"))
    assert find_keys("own", ["mine"], "framework", ["retired"]) == ("own", ("mine",))
