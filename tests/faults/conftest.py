"""Faults in fleets that run on the tests' own Ray."""

from tests.cluster.conftest import ray_session

__all__ = ["ray_session"]
