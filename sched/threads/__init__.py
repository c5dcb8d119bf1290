"""Threads that step until they are stopped."""
