"""Child processes: started, waited for, and ended by their own handle."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

START_SECONDS = 20.0
STOP_SECONDS = 10.0


class StartError(RuntimeError):
    """A server ended, or was not ready in time. The message ends with what it printed."""


def require_binary(name: str, package: str) -> str:
    """The path of a program; without it skip on a developer's machine, fail in CI.

    :param package: the Debian package that has it, for the message
    """
    # Debian keeps PostgreSQL's server programs out of PATH, one directory for each version.
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    # saslpasswd2 is in /usr/sbin, which an ordinary user's PATH may lack.
    places = [os.environ["PATH"], *map(str, versions), "/usr/sbin"]
    path = shutil.which(name, path=os.pathsep.join(places))
    if path is None:
        message = f"{name} is missing: apt-get install {package} (`make test` does)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A new directory with a short name: a Unix socket's path has room for 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="sessionstore-") as name:
        yield Path(name)


def free_port() -> int:
    """A TCP port on loopback that was free a moment ago, for what nobody need listen on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def lasting_port(offsets: Sequence[int] = (0,)) -> int:
    """A port that was free a moment ago, below those that the kernel gives to outgoing connections.

    So a server that is started again finds its own still free.

    :param offsets: what else must be free, counted from it
    """
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(11000, 22000)
        with suppress(OSError), ExitStack() as stack:
            for offset in offsets:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port + offset))
            return port


class Child:
    """A server that this test run started.

    :param stop_signal: what asks it politely to end
    :param user: whom to run as, where that may be chosen (PostgreSQL refuses root)
    """

    def __init__(
        self,
        command: Sequence[str],
        directory: Path,
        *,
        env: Mapping[str, str] | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        user: str | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.command = list(command)
        self._log = directory / f"{Path(self.command[0]).name}.log"
        self._stop_signal = stop_signal
        self._env = None if env is None else {**os.environ, **env}
        self._cwd = cwd or directory
        self._user = user
        self.start()

    def start(self) -> None:
        """Start it, once more after it has ended."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                user=self._user,
                # Its own process group, so that its workers end with it.
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """What it has printed so far."""
        return self._log.read_text(errors="replace")

    def wait_until(self, ready: Callable[[], bool], seconds: float = START_SECONDS) -> None:
        """Poll until `ready`; an OSError of it means not yet.

        :raises StartError: the child ended, or the time is over
        """
        deadline = time.monotonic() + seconds
        while True:
            with suppress(OSError):
                if ready():
                    return
            if self.process.poll() is not None:
                raise StartError(f"{self.command} ended by itself:\n{self.output}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.command} not ready after {seconds} s:\n{self.output}")
            time.sleep(0.01)

    def freeze(self) -> None:
        """Have it do nothing more until SIGCONT. A thread of it that runs on another processor just
        then may still answer, until the signal gets there: that is waited for."""
        self.process.send_signal(signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)

    def stop(self) -> None:
        """End it and whatever it started."""
        if self.process.poll() is None:
            self.process.send_signal(self._stop_signal)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):  # none of its group is left
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(STOP_SECONDS)


@contextmanager
def on_free_port(
    start: Callable[[int], Child], ready: Callable[[int], bool]
) -> Iterator[tuple[int, Child]]:
    """Run a server on a free port of loopback; gives the port and the child.

    Somebody else may take the port between its choice and its use: then it is tried again.
    """
    for attempts_left in (2, 1, 0):
        port = lasting_port()
        child = start(port)
        try:
            child.wait_until(partial(ready, port))
            yield port, child
            return
        except StartError:
            if not attempts_left or "in use" not in child.output.lower():
                raise
        finally:
            child.stop()


def accepts(port: int) -> bool:
    """Whether something accepts connections on this port of loopback."""
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
