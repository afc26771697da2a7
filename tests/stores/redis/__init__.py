"""The Redis store beyond the contract."""
