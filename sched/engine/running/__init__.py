"""Run an admitted occurrence: claim it, wait until it is due, run it, settle it.

`dispatcher` takes it and makes an `assignment`, which is first a `pending_claim` (it
asks through a `claim` attempt, and parks) and then an `execution` under a `run_lease`.
The `settlement` is written at the end, or kept in the `outbox` until the store answers.
"""
