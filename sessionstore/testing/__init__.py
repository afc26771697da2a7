"""For authors of stores: the contract as a test suite.

Subclass :class:`StoreContract` in a test module, give it a ``store`` fixture, and pytest runs every
test twice, by ``execute`` and by ``aexecute``::

    import uuid, pytest
    from sessionstore.testing import StoreContract

    class TestMyStore(StoreContract):
        @pytest.fixture
        def store(self):
            store = MyStore("somewhere", prefix=f"test-{uuid.uuid4().hex}", timeout=5)
            yield store
            store.close()

The server must be a real one, and may be shared with other tests: everything happens under the
store's own prefix. Give ``timeout`` generously, since a busy machine is not a fault of the store.
Add :class:`EnumerableContract` and :class:`PurgeableContract` for a store that has ``keys()`` or
``purge()``. :class:`FaultProxy` and :func:`black_hole` are the bad network between the two.
"""

import pytest

for _module in ("contract", "concurrency", "lifecycle", "driving"):
    pytest.register_assert_rewrite(f"sessionstore.testing.{_module}")

# ruff: noqa: E402 - pytest rewrites only the asserts of what is imported from here on
from sessionstore.testing.contract import (
    EnumerableContract,
    PurgeableContract,
    StoreContract,
)
from sessionstore.testing.driving import Drive
from sessionstore.testing.fault_proxy import FaultProxy, black_hole

__all__ = [
    "Drive",
    "EnumerableContract",
    "FaultProxy",
    "PurgeableContract",
    "StoreContract",
    "black_hole",
]
