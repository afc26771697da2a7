"""What many clients did at once: who asked for what, when, and what came of it."""

from __future__ import annotations

import ast
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import astuple, dataclass
from typing import Any

PENDING = 2**63 - 1
"""When an operation returned whose outcome nobody knows: it may still be executed."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of one client. What failed, and so was certainly not executed, is not recorded.

    Times are nanoseconds of the machine's monotonic clock, which all its processes share.

    :param part: the session that it is about; each is checked by itself
    :param result: None where nobody knows it
    """

    part: str
    name: str
    arguments: tuple[Any, ...]
    result: Any
    invoked: int
    returned: int

    @property
    def is_unknown(self) -> bool:
        """Whether nobody knows if it was executed."""
        return self.returned == PENDING


class History:
    """Collects operations from any number of threads and tasks."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self.failed = 0

    def ok(self, part: str, name: str, arguments: tuple[Any, ...], result: Any, began: int) -> None:
        """It was executed, and this is its result."""
        operation = Operation(part, name, arguments, result, began, time.monotonic_ns())
        self.operations.append(operation)

    def unknown(self, part: str, name: str, arguments: tuple[Any, ...], began: int) -> None:
        """It may have been executed, or may still be."""
        self.operations.append(Operation(part, name, arguments, None, began, PENDING))

    def fail(self) -> None:
        """It was not executed, says the library: whoever sees its effect proves it wrong."""
        self.failed += 1

    def parts(self) -> dict[str, list[Operation]]:
        """The operations of each session."""
        found: dict[str, list[Operation]] = defaultdict(list)
        for operation in self.operations:
            found[operation.part].append(operation)
        return found

    # -- between processes --

    def lines(self) -> Iterable[str]:
        """One line for each operation."""
        return (repr(astuple(operation)) for operation in self.operations)

    def read(self, lines: Iterable[str]) -> None:
        """Add what another process has written."""
        self.operations += [Operation(*ast.literal_eval(line)) for line in lines]
