"""What an evicted page leaves behind in the context, one choice a file; any goes with any eviction policy."""
