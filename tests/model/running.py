"""How long the model runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from tests.model.machine import Sessions

STEPS = 40
"""Rules in one example."""

run_it: Any = run_state_machine_as_test  # it takes any function, whatever its annotation says


def run_model(make: Callable[[], Sessions], examples: int, **options: Any) -> None:
    """Run it over so many examples, or as many times more as the profile has of them.

    :raises AssertionError: beginning with the number of the rule that is broken
    """
    times = settings().max_examples / settings.get_profile("local").max_examples
    wanted = settings(
        **{"stateful_step_count": STEPS, **options}, max_examples=max(1, int(examples * times))
    )
    run_it(make, settings=wanted)
