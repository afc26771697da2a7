"""``sqlite://`` and ``postgresql+psycopg://``: sessions in a SQL table.

Set-up: none; the table is made when it is missing and the user may. Limits: expired rows stay until
``sessionstore purge`` deletes them (no verb ever returns one); SQLite is for one machine.
Keys: column ``key`` of the table ``sessionstore_sessions``.

===============  =============================================================================
statements.py    the table, and the four verbs as flows of single SQL statements
failures.py      from SQLite's and PostgreSQL's error codes to the typed error
engine.py        what both databases' engines have in common
sqlite.py        SQLite: one engine; asyncio code waits for a thread
postgres.py      PostgreSQL: a blocking engine, and an asyncio one per event loop
examination.py   how the database is set up, for ``sessionstore doctor``
store.py         ``SqlStore``
===============  =============================================================================
"""

from sessionstore.stores.sql.store import SqlStore, from_location

__all__ = ["SqlStore", "from_location"]
