"""One target under atheris: ``python -m tests.fuzz.child TARGET [libFuzzer's options]``."""

from __future__ import annotations

import sys

import atheris


def main() -> None:
    """Until the time is over, or something is found."""
    name, *options = sys.argv[1:]
    # Only what is imported in here tells where it has been.
    with atheris.instrument_imports(include=["sessionstore"]):
        from tests.fuzz.targets import TARGETS
    atheris.Setup([sys.argv[0], *options], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
