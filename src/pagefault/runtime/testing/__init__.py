"""Fakes that ship with Pagefault, for your tests and ours: servers that misbehave on command, clocks, minds."""
