"""One agent: its kernel, functions, models, stores and the shell that drives them.  Knows no Ray."""
