"""What a network does with its tasks: who shares what, what its layers hold, which column matters."""
