"""What a fleet counts and measures of itself, for those who operate it."""
