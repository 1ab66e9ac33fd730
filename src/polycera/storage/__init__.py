"""Write and read every file of a run: whole or not at all."""
