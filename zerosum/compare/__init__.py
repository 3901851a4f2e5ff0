"""Comparisons: every cell of a table trained as an ordinary run, scored alike, and shown on one page."""
