"""Leases and ledger by majority over several Redis servers."""
