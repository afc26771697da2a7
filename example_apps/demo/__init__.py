"""All three apps on one origin. `make demo` serves it."""
