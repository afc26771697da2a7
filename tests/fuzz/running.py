"""One target: a child that fuzzes it, its progress, and the corpus made small again after."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.fuzz.replay import CORPUS
from tests.fuzz.targets import Target

ROOT: Final = Path(__file__).resolve().parents[2]
WORK: Final = ROOT / ".fuzz"
"""What is kept from one run to the next on this machine, findings too; not in the repository."""

HANG_SECONDS: Final = 10
"""For one input; what takes longer is a finding."""
RSS_MB: Final = 512
"""For the whole child, of which Python and this package are about 75; more is a finding."""
MERGE_SECONDS: Final = 600
TOLD_EVERY: Final = 15.0
"""Seconds between two lines of progress."""

_STATUS: Final = re.compile(r"#\d+\t.*cov: (?P<edges>\d+) ft: (?P<features>\d+) corp: ")
_STATISTIC: Final = re.compile(r"stat::(?P<name>\w+): +(?P<value>\d+)")
_FOUND: Final = ("crash-", "timeout-", "oom-", "leak-")
_MINIMISED: Final = re.compile(r"[0-9a-f]{40}")
"""How libFuzzer calls an input. What has a name of its own was put there by hand, and stays."""


@dataclass
class Result:
    """Of one target.

    :param edges: of the code that was instrumented, taken at least once
    :param features: edges by how often they are taken, and what was compared
    :param new: inputs that the repository's corpus has now and had not before
    :param corpus: inputs that it has
    :param findings: where the inputs are that broke something
    """

    name: str
    title: str
    seconds: float = 0.0
    executions: int = 0
    edges: int = 0
    features: int = 0
    slowest: int = 0
    rss_mb: int = 0
    new: int = 0
    corpus: int = 0
    findings: list[Path] = field(default_factory=list)
    output: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Executions a second."""
        return self.executions / self.seconds if self.seconds else 0.0

    def heard(self, line: str) -> None:
        """One line of libFuzzer's."""
        status, statistic = _STATUS.match(line), _STATISTIC.match(line)
        if status:
            self.edges, self.features = int(status["edges"]), int(status["features"])
        elif statistic:
            name, value = statistic["name"], int(statistic["value"])
            if name == "number_of_executed_units":
                self.executions = value
            elif name == "slowest_unit_time_sec":
                self.slowest = value
            elif name == "peak_rss_mb":
                self.rss_mb = value
        else:
            self.output = [*self.output[-99:], line.rstrip()]

    def as_json(self) -> dict[str, Any]:
        """Everything."""
        found = [str(path.relative_to(ROOT)) for path in self.findings]
        output = self.output if found else []
        return {**asdict(self), "rate": self.rate, "findings": found, "output": output}


def run(name: str, target: Target, seconds: int, tell: Callable[[str], None]) -> Result:
    """Fuzz one target for so long, or until something is found; then keep what was new."""
    result = Result(name, target.title)
    own, kept = WORK / name, CORPUS / name
    live = own / "corpus"
    for directory in (live, kept):
        directory.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds():
        (live / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    before = set(_findings(own))
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={target.max_len}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={RSS_MB}",
        f"-artifact_prefix={own}/",
        "-print_final_stats=1",
        *(str(live), str(kept)),
    ]
    began = told = time.monotonic()
    with _child(name, options) as lines:
        for line in lines:
            result.heard(line)
            if time.monotonic() - told > TOLD_EVERY:
                told = time.monotonic()
                tell(line.rstrip())
    result.seconds = time.monotonic() - began
    result.findings = [found for found in _findings(own) if found not in before]
    if not result.executions and not result.findings:
        raise RuntimeError(f"{name}: nothing was run:\n" + "\n".join(result.output))
    _keep(name, live, kept, result)
    return result


def _findings(own: Path) -> list[Path]:
    return sorted(path for path in own.iterdir() if path.name.startswith(_FOUND))


def _keep(name: str, live: Path, kept: Path, result: Result) -> None:
    """As few and as short inputs as have all features."""
    before = {path.name for path in kept.iterdir()}
    merged = live.with_name("merged")
    shutil.rmtree(merged, ignore_errors=True)
    merged.mkdir()
    for path in kept.iterdir():
        if not _MINIMISED.fullmatch(path.name):
            shutil.copy(path, merged)
    options = ["-merge=1", f"-timeout={HANG_SECONDS}", f"-rss_limit_mb={RSS_MB}"]
    options += [f"-max_total_time={MERGE_SECONDS}", f"-artifact_prefix={live.parent}/merge-"]
    with _child(name, [*options, str(merged), str(kept), str(live)]) as lines:
        output = list(lines)
    if not any("MERGE-OUTER: successful" in line for line in output):
        raise RuntimeError(f"{name}: merging failed:\n" + "".join(output[-20:]))
    for path in kept.iterdir():
        path.unlink()
    for path in merged.iterdir():
        shutil.copy(path, kept)
    after = {path.name for path in kept.iterdir()}
    result.new, result.corpus = len(after - before), len(after)


@contextmanager
def _child(name: str, options: list[str]) -> Iterator[Iterator[str]]:
    """Its lines, until it ends; ended at the latest when this is left."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.child", *options],
        cwd=ROOT,
        env={**os.environ, "TARGET": name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as child:
        assert child.stdout is not None
        try:
            yield iter(child.stdout)
        finally:
            child.terminate()
