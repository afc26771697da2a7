"""Server-side sessions for Python web frameworks."""

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
