"""The technologies behind leases and ledger; each passes tests/contract."""

from tickglass.sched.stores.urls import check_url, open_store, redacted_url

__all__ = ["check_url", "open_store", "redacted_url"]
