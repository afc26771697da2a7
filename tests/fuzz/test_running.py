"""What is read from libFuzzer's output, and how it is shown."""

from __future__ import annotations

import json

import pytest

from tests.fuzz import report
from tests.fuzz.running import WORK, Result

pytestmark = pytest.mark.once

OUTPUT = """\
INFO: Running with entropic power schedule (0xFF, 100).
#2\tINITED cov: 7 ft: 7 corp: 1/1b exec/s: 0 rss: 72Mb
#360\tNEW    cov: 123 ft: 172 corp: 20/5565b lim: 4238 exec/s: 0 rss: 72Mb L: 59/2162 MS: 1 CMP-
#113053\tDONE   cov: 125 ft: 442 corp: 83/6166b lim: 604 exec/s: 4710 rss: 121Mb
stat::number_of_executed_units: 113053
stat::average_exec_per_sec:     2098
stat::new_units_added:          277
stat::slowest_unit_time_sec:    3
stat::peak_rss_mb:              121
"""


def result() -> Result:
    made = Result("codec", "attribute's bytes", seconds=600.0, corpus=70)
    for line in OUTPUT.splitlines():
        made.heard(line)
    return made


def test_what_libfuzzer_says() -> None:
    made = result()
    assert (made.edges, made.features, made.executions) == (125, 442, 113_053)
    assert (made.slowest, made.rss_mb) == (3, 121)
    assert made.output == [OUTPUT.splitlines()[0]]


def test_the_table() -> None:
    made = result()
    assert report.markdown([made]).splitlines()[2] == (
        "| attribute's bytes | 10.0 | 113,053 | 188 | 125 | 442 | 70 | 0 |"
    )
    made.findings.append(WORK / "codec" / "crash-1")
    found = json.loads(json.dumps(made.as_json()))
    assert found["findings"] == [".fuzz/codec/crash-1"]
    assert report.cells(made)[-1] == "1"
