"""Documents: files read into passages, and filed in a shared space of the archive."""
