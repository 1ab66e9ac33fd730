"""Learn from tables larger than memory: one pass of statistics, then batches from row groups."""
