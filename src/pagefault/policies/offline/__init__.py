"""What could have been: bounds for policies that would know the future."""
