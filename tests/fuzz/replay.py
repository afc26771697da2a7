"""``python -m tests.fuzz.replay TARGET FILE...``: inputs once more, with the whole traceback."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def replay(name: str, path: Path) -> None:
    """Run one input through its target."""
    try:
        TARGETS[name].run(path.read_bytes())
    except Exception as error:
        error.add_note(f"the input: python -m tests.fuzz.replay {name} {path}")
        raise


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in TARGETS:
        sys.exit(f"{__doc__}\nTargets: {', '.join(TARGETS)}")
    for argument in sys.argv[2:]:
        replay(sys.argv[1], Path(argument))
