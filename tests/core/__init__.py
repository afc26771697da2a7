"""The core and what drives it: one test module for each module."""
