"""Environments that agents live in."""
