"""``pagefault top``: the fleet on a terminal, live.  Only here is textual imported, which the extra ``tui`` brings."""
