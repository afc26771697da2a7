"""``Session``: a dict that loads itself when it is first read and knows what changed.

It *is* a dict, and right for ``json.dumps``, ``dict(s)``, ``s == {}`` and ``|``. Whatever looks at
it as a whole decodes every value into the base dict. ``s[name]``, ``get``, ``in`` and setting one
name decode that one alone, and keep it aside until then: most requests want one or two of them,
and what was never decoded need not be encoded again at commit either, to see whether it changed.

C code that looks straight into the base dict (the json module asks for its size first) would see
an empty one before that, so until then it holds one placeholder: whoever finds it not empty goes
on to a method, and every method reads first.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, NoReturn

from sessionstore.core.facts import SessionFacts
from sessionstore.core.state import Part, State

_MISSING: Any = object()
_PLACEHOLDER: Any = type("unread", (), {"__repr__": lambda self: "<session not read>"})()


class Session(dict[str, Any], SessionFacts):
    """One request's session.

    Any name may be read and set as in a dict; values may be nested, and changes inside them are
    found at commit. Beside the mapping:

    >>> from sessionstore import MemoryStore, SessionConfig, SessionManager
    >>> manager = SessionManager(MemoryStore(), SessionConfig(secret_key="k" * 32))
    >>> session = manager.open(None)
    >>> session["cart"] = {"apples": 1}
    >>> session.login(42)
    >>> cookie = manager.commit(session)
    >>> again = manager.open(cookie.value)
    >>> again.subject, again["cart"]
    ('42', {'apples': 1})
    """

    __slots__ = ("_part", "_whole", "state")

    state: State
    _part: Part | None
    """The values that were asked for one by one; None before it is loaded, and once all are."""
    _whole: bool
    """Whether the base dict holds all values."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._part = None
        self._whole = False
        dict.__setitem__(self, _PLACEHOLDER, None)

    def _look(self) -> Part | None:
        """Every method comes through here or through :meth:`_read`: it is loaded after either.

        :return: where single values are, as long as nobody wants them all; None: in the base dict
        """
        self.state.accessed = True
        if self._part is None and not self._whole:
            self._open()
        return self._part

    def _open(self) -> None:
        """The first look at it."""
        state = self.state
        state.ensure_loaded()
        if self._part is None and not self._whole:  # another thread may have been faster
            self._part = Part()
            if not state.baseline:
                self._fill()

    def _read(self) -> None:
        """Whatever wants more than one value comes through here."""
        if self._look() is not None:
            self._fill()

    def _fill(self) -> None:
        part = self._part
        if part is None:
            return  # another thread has
        values = self.state.decode_rest(part)  # or the placeholder stays
        self._hold(values)
        for name, value in list(part.items()):  # those that other threads have put there meanwhile
            if values.get(name, _MISSING) is not value:
                dict.__setitem__(self, name, value)

    def _hold(self, values: Mapping[str, Any]) -> None:
        dict.clear(self)
        dict.update(self, values)
        self._part, self._whole = None, True

    def content(self) -> Mapping[str, Any] | None:
        """What there is to commit; None if nothing was read, so that nothing can have changed."""
        return self if self._whole else self._part

    def peek(self, name: str) -> Any:
        """The value of a session that has been read, or None; for adapters: it is no reading."""
        part = self._part
        if part is None:
            return dict.get(self, name)
        if name not in part:
            self.state.decode_into(part, name)
        return part.get(name)

    # -- the session --

    def _read_state(self) -> State:
        self._look()
        return self.state

    def login(self, user_id: object) -> None:
        """Make it this user's: a new secret at commit, the old one dead.

        Another user's attributes do not stay; an anonymous visitor's do.

        :param user_id: any object whose text is 1 to 1024 bytes and identifies the user
        :raises HeadersAlreadySent: the response has begun
        :raises ValueError: no such id
        """
        self._read()
        before = self.state.subject
        self.state.mark_login(user_id)
        if before is not None and before != self.state.subject:
            ours = self.state.delta(self).changed.keys() | self.state.assigned
            for name in [name for name in dict.keys(self) if name not in ours]:
                dict.__delitem__(self, name)

    def logout(self) -> None:
        """End it: :meth:`destroy`, by the name that an application looks for."""
        self.destroy()

    def destroy(self) -> None:
        """Delete it at commit, for good. What is written afterwards begins another session."""
        self._hold({})
        self.state.mark_destroyed()

    def rotate(self) -> None:
        """Give it a new secret at commit (step-up, change of privileges), keeping its handle.

        :raises HeadersAlreadySent: the response has begun
        """
        self._look()
        self.state.mark_rotate()

    @property
    def accessed(self) -> bool:
        """Whether anything was read or written (so that the response varies by cookie)."""
        return self.state.accessed

    @accessed.setter
    def accessed(self, value: bool) -> None:
        self.state.accessed = value

    @property
    def modified(self) -> bool:
        """Whether anything was changed, nested values included. Reading this loads nothing.

        Setting it True has the session written at commit; False makes the present content the
        one that changes are looked for against, and nothing is written.
        """
        content = self.content()
        return self.state.modified or (content is not None and self.state.has_changed(content))

    @modified.setter
    def modified(self, value: bool) -> None:
        self._read()
        if value:
            self.state.mark_modified()
        else:
            self.state.rebase(self, self.state.delta(self))
            self.state.settled()
            self.state.modified = False

    # -- reading --

    def __getitem__(self, name: str) -> Any:
        part = self._look()
        if part is None:
            return dict.__getitem__(self, name)
        if name not in part:
            self.state.decode_into(part, name)
            if name not in part or self._part is not part:
                self._fill()  # a subclass may know what is missing
                return dict.__getitem__(self, name)
        return part[name]

    def __contains__(self, name: object) -> bool:
        part = self._look()
        if part is None:
            return dict.__contains__(self, name)
        return name in part or name in self.state.baseline

    def __iter__(self) -> Iterator[str]:
        self._read()
        return dict.__iter__(self)

    def __reversed__(self) -> Iterator[str]:
        self._read()
        return dict.__reversed__(self)

    def __len__(self) -> int:
        self._read()
        return dict.__len__(self)

    def __eq__(self, other: object) -> bool:
        self._read()
        if isinstance(other, Session):
            other._read()
        return dict.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = None  # type: ignore[assignment]  # like every dict

    def __or__(self, other: Any) -> Any:
        self._read()
        return dict(dict.items(self)) | other if isinstance(other, dict) else NotImplemented

    def __ror__(self, other: Any) -> Any:
        self._read()
        return other | dict(dict.items(self)) if isinstance(other, dict) else NotImplemented

    def get(self, name: str, default: Any = None) -> Any:
        part = self._look()
        if part is None:
            return dict.get(self, name, default)
        if name not in part:
            self.state.decode_into(part, name)
            if self._part is not part:
                return dict.get(self, name, default)
        return part.get(name, default)

    def keys(self) -> KeysView[str]:  # type: ignore[override]  # typeshed wants dict_keys
        self._read()
        return dict.keys(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # the same
        self._read()
        return dict.values(self)

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]  # the same
        self._read()
        return dict.items(self)

    def copy(self) -> dict[str, Any]:
        """A plain dict with the same values."""
        self._read()
        return dict(dict.items(self))

    __copy__ = copy

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        from copy import deepcopy

        return deepcopy(self.copy(), memo)

    # -- writing --

    def __setitem__(self, name: str, value: Any) -> None:
        part, state = self._look(), self.state
        state.mark_modified()
        state.assigned.add(name)
        dict.__setitem__(self if part is None else part, name, value)
        if part is not self._part:  # another thread has read it as a whole meanwhile
            dict.__setitem__(self, name, value)

    def __delitem__(self, name: str) -> None:
        self._read()
        if dict.__contains__(self, name):
            self.state.mark_modified()
        dict.__delitem__(self, name)

    def __ior__(self, other: Any) -> Session:  # type: ignore[override]  # whatever update() takes
        self.update(other)
        return self

    def clear(self) -> None:
        """Empty it: at commit a session left empty is destroyed, else its content is replaced."""
        self._read()
        self.state.mark_cleared()
        dict.clear(self)

    def pop(self, name: str, default: Any = _MISSING) -> Any:
        self._read()
        if dict.__contains__(self, name):
            self.state.mark_modified()
        return dict.pop(self, name) if default is _MISSING else dict.pop(self, name, default)

    def popitem(self) -> tuple[str, Any]:
        self._read()
        if dict.__len__(self):
            self.state.mark_modified()
        return dict.popitem(self)

    def setdefault(self, name: str, default: Any = None) -> Any:
        if name not in self:
            self[name] = default
        return self[name]

    def update(self, *args: Any, **kwargs: Any) -> None:
        new = dict(*args, **kwargs)
        part, state = self._look(), self.state
        state.mark_modified()
        state.assigned.update(new)
        dict.update(self if part is None else part, new)
        if part is not self._part:  # see __setitem__()
            dict.update(self, new)

    # -- nothing of it may leak --

    def __repr__(self) -> str:
        """The handle and the number of attributes, never a value or the token."""
        state = self.state
        names: Any = dict.keys(self) if self._part is None else state.baseline.keys() | self._part
        size = "?" if self.content() is None else len(names)
        return f"<{type(self).__name__} {state.status.value} {state.handle} attributes={size}>"

    __str__ = __repr__

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a session is not picklable: copy what you need into a dict first")
