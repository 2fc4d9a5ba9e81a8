"""What else comes in when a page is paged in, one policy a file."""
