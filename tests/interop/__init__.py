"""A session written by one framework, read by the others, over real HTTP servers."""
