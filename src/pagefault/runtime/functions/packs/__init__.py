"""Functions to give to agents: what many programs would write, written once, with its limits."""
