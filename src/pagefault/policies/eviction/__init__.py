"""Which resident pages leave first, one policy a file."""
