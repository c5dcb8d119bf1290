"""Decide what falls due, and what becomes of it; and account for what passed."""
