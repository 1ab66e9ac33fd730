"""The views of a run, one file each: the pictures that it can draw, and what the page says with them."""
