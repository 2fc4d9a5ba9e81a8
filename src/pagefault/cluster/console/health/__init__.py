"""What a machine needs to run a fleet, looked at piece by piece: see :mod:`pagefault.cluster.console.doctor`."""
