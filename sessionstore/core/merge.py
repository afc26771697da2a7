"""What a request changed, and how that is joined with what another request stored meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sessionstore.core import codec

MergeFunction = Callable[[Any, Any, Any], Any]
"""``(base, theirs, ours) -> merged``. None stands for an absent attribute, also as the result."""


NOTHING: Final[frozenset[str]] = frozenset()


class Delta(NamedTuple):
    """What one request changed.

    :param changed: attributes set, encoded
    :param removed: names removed
    :param replaces: whether everything else goes too (``clear()``)
    """

    changed: Mapping[str, bytes] = MappingProxyType({})
    removed: AbstractSet[str] = NOTHING
    replaces: bool = False

    def __repr__(self) -> str:
        return f"<Delta changed={len(self.changed)} removed={len(self.removed)}>"

    def __bool__(self) -> bool:
        return bool(self.changed or self.removed or self.replaces)


def apply(
    delta: Delta,
    theirs: Mapping[str, bytes],
    base: Mapping[str, bytes],
    functions: Mapping[str, MergeFunction],
) -> dict[str, bytes]:
    """The attributes after ``delta``, on top of what is stored now.

    :param theirs: what is stored now
    :param base: what was stored when this request read it
    :param functions: by attribute name, for those that both sides changed; else ours counts
    """
    if delta.replaces:
        return dict(delta.changed)
    merged = {**theirs, **delta.changed}
    for name in delta.removed:
        merged.pop(name, None)
    for name, function in functions.items():
        ours_changed = name in delta.changed or name in delta.removed
        if ours_changed and theirs.get(name) != base.get(name):
            _merge_one(name, function, merged, theirs.get(name), base.get(name))
    return merged


def _merge_one(
    name: str,
    function: MergeFunction,
    merged: dict[str, bytes],
    theirs: bytes | None,
    base: bytes | None,
) -> None:
    result = function(_decoded(base), _decoded(theirs), _decoded(merged.pop(name, None)))
    if result is not None:
        merged[name] = codec.encode(result, name)


def _decoded(data: bytes | None) -> Any:
    return None if data is None else codec.decode(data)


def merge_appended(base: Any, theirs: Any, ours: Any) -> Any:
    """Join two lists that grew from (or were emptied after) the same base: Flask's flashes.

    >>> merge_appended(["a"], ["a", "b"], ["a", "c"])
    ['a', 'b', 'c']
    >>> merge_appended(["a"], ["a", "b"], None)
    ['b']
    """
    base, theirs, ours = base or [], theirs or [], ours or []
    if ours[: len(base)] == base:
        return theirs + ours[len(base) :] or None
    if theirs[: len(base)] == base:
        return theirs[len(base) :] + ours or None
    return theirs + ours or None
