"""Bugs that are planted in the product, to see that the checks find them."""
