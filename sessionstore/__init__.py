"""Server-side sessions for Python web frameworks."""

# typing's own takes 2 ms to import; type checkers know the name.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from sessionstore.core.config import SessionConfig
    from sessionstore.core.cookies import Cookie
    from sessionstore.core.errors import (
        CodecError,
        ConfigurationError,
        ConflictUnresolved,
        DeadlineExceeded,
        HeadersAlreadySent,
        MissingExtra,
        NotLoaded,
        NotReplicated,
        OutcomeUnknown,
        RecordUnreadable,
        SessionError,
        SessionGone,
        SessionTooLarge,
        StoreError,
        StoreFull,
        StoreRefused,
        StoreUnavailable,
        UnstorableValue,
        WeakSecretWarning,
    )
    from sessionstore.core.session import Session
    from sessionstore.manager import SessionManager
    from sessionstore.stores.base import Store
    from sessionstore.stores.memory import MemoryStore
    from sessionstore.stores.url import open_store
else:

    def __getattr__(name: str) -> object:
        """Import what was asked for, and what it needs (PEP 562).

        Whoever catches an error or makes a configuration needs no codec, store or logging.
        """
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        home = f"{__name__}.{_HOMES.get(name, _ERRORS)}"
        value = globals()[name] = getattr(__import__(home, fromlist=(name,)), name)
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


_ERRORS = "core.errors"
_HOMES = {
    "Cookie": "core.cookies",
    "MemoryStore": "stores.memory",
    "Session": "core.session",
    "SessionConfig": "core.config",
    "SessionManager": "manager",
    "Store": "stores.base",
    "open_store": "stores.url",
}
"""Where each name is; what is not listed is an error."""

__all__ = [
    "CodecError",
    "ConfigurationError",
    "ConflictUnresolved",
    "Cookie",
    "DeadlineExceeded",
    "HeadersAlreadySent",
    "MemoryStore",
    "MissingExtra",
    "NotLoaded",
    "NotReplicated",
    "OutcomeUnknown",
    "RecordUnreadable",
    "Session",
    "SessionConfig",
    "SessionError",
    "SessionGone",
    "SessionManager",
    "SessionTooLarge",
    "Store",
    "StoreError",
    "StoreFull",
    "StoreRefused",
    "StoreUnavailable",
    "UnstorableValue",
    "WeakSecretWarning",
    "open_store",
]
