"""Run an admitted occurrence: claim it, wait until it is due, run it, settle it."""
