"""OpenTelemetry traces of what agents do.  Only :mod:`.export` knows OpenTelemetry, and imports it when it is used."""
