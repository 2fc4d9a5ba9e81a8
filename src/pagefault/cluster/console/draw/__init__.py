"""Views drawn for terminals, by rich: for the inspector's command and for ``top``.

Whatever agents wrote is escaped here: no control character, no mark that turns the direction of writing, no markup.
"""
