"""What traces are made from, one source a file."""
