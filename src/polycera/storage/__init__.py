"""Whole files or none: every file of a run is written and read here."""
