"""How a result is shown. Everything is computed from the plain data of a run: no figure by hand."""
