"""Coverage-guided fuzzing of whatever parses bytes from outside.

===========  ==================================================================================
targets/     plain functions of bytes that assert what must hold; ``TARGETS`` names them all
source.py    the fuzzer's bytes as choices, numbers and texts
corpus/      inputs that have been worth keeping, a directory for each target
replay.py    ``python -m tests.fuzz.replay TARGET FILE``: what a finding was
child.py     one target under atheris, which alone needs it
running.py   children, their progress, and the corpus made small again
report.py    the figures
__main__.py  ``python -m tests.fuzz``, which is what ``make fuzz`` runs
capture.py   ``python -m tests.fuzz.capture``: seeds from a real memcached
===========  ==================================================================================

``test_corpus.py`` replays the corpus in ``make test``, without atheris. A new target is a function
and a line in ``TARGETS``.
"""
