"""What outlives a process: the journal, which is the truth, and the archive, which is for finding."""
