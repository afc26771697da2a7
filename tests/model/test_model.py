"""The model over every store."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Sessions


@pytest.fixture(autouse=True)
def silent_log() -> Iterator[None]:
    """Thousands of reports a second; what is reported is other tests' business."""
    logger = logging.getLogger("sessionstore")
    logger.disabled = True
    yield
    logger.disabled = False


def test_memory() -> None:
    run_state_machine_as_test(Sessions, settings=settings(max_examples=200, stateful_step_count=40))
