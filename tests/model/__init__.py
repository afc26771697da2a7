"""A model of sessions, in which hypothesis schedules the races: start with ``machine.py``.

The rules that always hold, by the numbers with which its assertions begin:

1.  After an acknowledged destroy, no request that starts later reads that session.
2.  A destroyed session is never recreated by a save, a touch or a rotation.
3.  An acknowledged write is seen by every request that starts later.
4.  Writers of different attributes never lose each other's writes.
5.  A record is accepted only under its own handle, for the token whose hash it holds, with a valid
    authenticator.
6.  No response sets a cookie for a session that is not that client's.
7.  A token from before a login never reaches the session after it, and cannot end it.
8.  Past the absolute or idle deadline a session is refused, whatever the store's TTL says.
9.  A read changes no data; a touch changes only ``touched``.
10. Unsigned input costs no store command; anonymous reads cause no writes.
11. A failed save leaves the old record whole, or is reported as outcome unknown; a dropped write is
    never reported as saved.
12. A store error never yields an authenticated or a silently empty session.

(13, deadlines and pools, is about transports: ``tests/stores`` and ``tests/concurrency``. 14 is
about adapters, 15 about logs.)

How it is made:

``stepping.py``   requests stop before each store command, and are told what becomes of it
``world.py``      app servers, a store, a clock, and requests under way
``requests.py``   one request: the product's session, and what the model knows of it
``commits.py``    one commit under way
``spec.py``       what a stored session must be after a commit, in plain values
``oracle.py``     looks at the store before and after each command: may this change be?
``verdict.py``    what a commit returned or raised: is it what has happened?
``outside.py``    the rules of the world: deployments, time, lost and forged records
``machine.py``    the rules of clients and apps
``situations.py`` what a run has met
"""
