"""Successive-approximation converters and the bank that shares them."""
