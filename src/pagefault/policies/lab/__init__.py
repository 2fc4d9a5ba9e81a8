"""The lab: traces of which pages were needed when, replayed through the policies that run live."""
