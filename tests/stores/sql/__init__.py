"""The SQL store beyond the contract."""
