"""Numbers as people write them."""

from __future__ import annotations

from benchmarks.scale.plan import DAY, GIB

_SECONDS = (
    (1.5 * DAY, DAY, "days"),
    (5400.0, 3600.0, "h"),
    (90.0, 60.0, "min"),
    (1.0, 1.0, "s"),
    (1e-3, 1e-3, "ms"),
    (0.0, 1e-6, "µs"),
)
"""From how many seconds on, the unit, and its name."""
_COUNTS = ((1e9, " G"), (1e6, " M"))


def count(number: float) -> str:
    """How many.

    >>> count(1e6), count(1.5e9), count(69444.4), count(12.34), count(0.5), count(0)
    ('1 M', '1.5 G', '69,400', '12', '0.5', '0')
    """
    for size, name in _COUNTS:
        if number >= size:
            return f"{number / size:.3g}{name}"
    if number >= 1000:
        digits = len(str(int(number))) - 3
        return f"{round(number, -digits):,.0f}"
    return short(number)


def short(number: float) -> str:
    """Two digits, or all before the point.

    >>> short(1234.5), short(12.34), short(9.96), short(0.123), short(0)
    ('1,234', '12', '10', '0.12', '0')
    """
    return f"{number:,.0f}" if number >= 9.95 else f"{number:.2g}"


def rate(number: float) -> str:
    """A second.

    >>> rate(1234)
    '1,230/s'
    """
    return f"{count(number)}/s"


def seconds(number: float) -> str:
    """A time.

    >>> seconds(120960), seconds(16.6), seconds(0.0021), seconds(0), seconds(3600)
    ('34 h', '17 s', '2.1 ms', '0', '60 min')
    """
    if not number:
        return "0"
    return next(
        f"{short(number / size)} {name}" for least, size, name in _SECONDS if number >= least
    )


def memory(number: float) -> str:
    """Bytes.

    >>> memory(64 * 2**30), memory(773180000)
    ('64 GiB', '0.72 GiB')
    """
    amount = number / GIB
    return f"{short(amount)} GiB"


def network(number: float) -> str:
    """Bits a second, of bytes a second.

    >>> network(1e6), network(125e6 * 3)
    ('8 Mbit/s', '3 Gbit/s')
    """
    megabits = number * 8 / 1e6
    return f"{short(megabits / 1000)} Gbit/s" if megabits >= 1000 else f"{short(megabits)} Mbit/s"


def percent(share: float) -> str:
    """A share.

    >>> percent(0.0123), percent(0.39), percent(0.00004), percent(0)
    ('1.2 %', '39 %', '0.004 %', '0 %')
    """
    amount = share * 100
    if not amount:
        return "0 %"
    return f"{short(amount)} %"
