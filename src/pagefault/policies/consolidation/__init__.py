"""When an agent at rest looks over what it has filed, one policy a file."""
