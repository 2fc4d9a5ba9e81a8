"""The web page of a fleet, ``pagefault ui``: a small server, and the page that it serves."""
