"""Analyse networks: which tasks share layers, what layers represent, which columns matter."""
