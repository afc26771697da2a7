"""Tests. `support/` starts the real servers they talk to."""
