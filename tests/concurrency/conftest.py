"""What the histories need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def silent_log() -> Iterator[None]:
    """Thousands of reports a second; what is reported is other tests' business."""
    logger = logging.getLogger("sessionstore")
    logger.disabled = True
    yield
    logger.disabled = False
