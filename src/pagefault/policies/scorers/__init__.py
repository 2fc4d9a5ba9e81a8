"""How important a page is, when nobody says so: one scorer a file.  A score is cached with its page."""
