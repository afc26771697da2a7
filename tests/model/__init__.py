"""A model of sessions, in which hypothesis schedules the races: start with ``machine.py``."""
