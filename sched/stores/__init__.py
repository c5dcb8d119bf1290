"""The technologies behind leases and ledger; each passes tests/contract."""

from tickglass.sched.stores.registry import (
    DEFAULT_STORE,
    check_exists,
    check_url,
    is_shared,
    open_store,
    redacted_url,
    scheme_of,
    store_opener,
)

__all__ = [
    "DEFAULT_STORE",
    "check_exists",
    "check_url",
    "is_shared",
    "open_store",
    "redacted_url",
    "scheme_of",
    "store_opener",
]
