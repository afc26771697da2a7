"""``docs/scale.md``: its tables and charts, written anew; what is around them is by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from benchmarks.report.tables import markdown
from benchmarks.scale.answers import Answers
from benchmarks.scale.losing import ELECTION
from benchmarks.scale.restarting import redis_rolling
from benchmarks.scale.tables import GROUPS
from benchmarks.scale.units import count, percent, rate, seconds
from tests.support.pages import put_into

CHARTS: Final = Path("_static", "scale")
"""Beside the page."""


def write_page(answers: Answers, page: Path) -> None:
    """Renew what is between the page's marks, and the charts beside it.

    :raises ValueError: the page lacks a mark
    """
    renew(page, sections(answers))
    from benchmarks.scale.charts import draw  # matplotlib, for this alone

    draw(answers, page.parent / CHARTS)


def renew(page: Path, found: Mapping[str, str]) -> None:
    """Put each section into its place.

    :raises ValueError: the page lacks one; it is left as it was
    """
    text = page.read_text()
    for name in found:
        if f"<!-- {name}: begin -->" not in text or f"<!-- {name}: end -->" not in text:
            raise ValueError(f"{page} has no place for {name}")
    for name, section in found.items():
        put_into(page, section, name)


def sections(answers: Answers) -> dict[str, str]:
    """The text for each place."""
    made = {"short": short(answers)}
    for name, group in GROUPS.items():
        made[name] = "\n".join(
            f"### {table.title}\n\n{markdown(table)}" for table in group(answers)
        )
    return made


def short(answers: Answers) -> str:
    """What one number of sessions after the other needs, a line for each."""
    lines = []
    for point in answers.points:
        redis, copied, apps = point.redis, point.copied, point.apps
        lines.append(
            f"- **{count(point.demand.sessions)} sessions**,"
            f" {rate(point.demand.requests)} requests and {rate(point.demand.commands)} store"
            f" commands at the peak: {_many(redis.servers, 'Redis primary', 'Redis primaries')} and"
            f" {_many(redis.copies, 'replica', 'replicas')} of {answers.plan.memory:g} GiB,"
            f" {percent(redis.load)} busy; or"
            f" {_many(copied.servers, 'Memcached server', 'Memcached servers')} with two copies of"
            f" each session. {_many(apps.servers, 'app server', 'app servers')}, up to"
            f" {count(apps.threaded)} connections to each server of the store from threads,"
            f" {count(apps.shared)} from asyncio. Restarted one by one, the primaries take"
            f" {seconds(redis_rolling(answers.plan, redis, ELECTION).seconds)}."
        )
    return "\n".join(lines) + "\n"


def _many(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"
