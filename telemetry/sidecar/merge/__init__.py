"""Merge what schedulers told and what stores show into one view."""
