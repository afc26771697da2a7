"""One target under atheris, by libFuzzer's options: ``TARGET=codec python -m tests.fuzz.child``."""

from __future__ import annotations

import os
import shlex
import sys

import atheris


def main() -> None:
    """Until the time is over, or something is found."""
    # Not among the options: to merge a corpus, libFuzzer starts itself anew with those it knows.
    name = os.environ["TARGET"]
    # Only what is imported in here tells where it has been.
    with atheris.instrument_imports(include=["sessionstore"]):
        from tests.fuzz.targets import TARGETS
    itself = f"{shlex.quote(sys.executable)} -m tests.fuzz.child"  # what a shell will run
    atheris.Setup([itself, *sys.argv[1:]], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
