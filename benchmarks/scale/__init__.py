"""``python -m benchmarks.scale``: what 1 M, 100 M or 1 G sessions need, or as many as you have.

==================  ==========================================================================
__main__.py         the command
measured.py         what was measured: ``make bench``'s result, or measured.json
plan.py             what is assumed, and what follows from it for the store: the demand
sizing.py           servers, connections
memory.py           bytes of a session in Redis and Memcached
touching.py         users who come and go, and the core's rule for touches
balance.py          sessions on slots and on the ring; chance.py: large draws
losing.py           a server is lost
restarting.py       all app servers connect anew; the store's servers one by one
queueing.py         waiting for a server that is busy
storm.py            more than it can do: deadlines, retries, circuit breakers
answers.py          all of it for some numbers of sessions
*tables.py          as tables; units.py: numbers as people write them
charts.py, page.py  ``docs/scale.md``
==================  ==========================================================================

Whatever the library itself decides is asked of its own code: slots, the ring, whether a touch is
due, the attempts of a command, the circuit breaker, paces and limits.
"""
