"""Looking after stores that no fleet has open: checking, rebuilding, and taking agents elsewhere."""
