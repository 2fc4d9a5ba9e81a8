"""What there is to see of a fleet, as plain values: the terminal and the web page draw the same.

Every view is a frozen dataclass of strings, numbers, tuples and others of its kind, so ``dataclasses.asdict`` is its
JSON form.  Texts are as agents and others wrote them: whoever shows them has to escape them.
"""
