"""Starts agents and says how they are."""
