"""Merge what schedulers reported and what stores contain into one view."""
