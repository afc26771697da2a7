"""Real concurrency, recorded, and checked for linearizability: start with ``wing_gong.py``."""
