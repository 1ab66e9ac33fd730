"""Train again to compare: separate networks with the joint one, and several loss weights."""
