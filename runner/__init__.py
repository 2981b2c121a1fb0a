"""Carry a declared rollout into a database stage by stage, measuring as it goes, rolling back by itself."""

__version__ = "0.1.0"
