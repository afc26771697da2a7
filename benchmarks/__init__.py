"""``make bench``: sessionstore beside its peers, on this machine.

=============  ================================================================================
__main__.py    the command: which parts, where the result goes
parts/         what is measured, a module each; returns plain data
sites/         a small site in each framework, with each kind of session
clients/       each client library of Redis and Memcached, and a plain socket
worker.py      one of those, in a process of its own
workers.py     all of them, taking turns
servers.py     the servers they talk to
statistics.py  medians and spreads
goals.py       what sessionstore is held to
report/        the tables, the charts and the page
=============  ================================================================================

Whatever is compared takes turns: in each round every worker gets a small batch, in an order drawn
anew, so that a busy moment hits all of them alike. Only ratios within one run mean anything.
"""
