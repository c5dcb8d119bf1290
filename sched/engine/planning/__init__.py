"""Decide what falls due, and what becomes of it."""
