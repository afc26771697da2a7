"""The demo, as it is really served."""
