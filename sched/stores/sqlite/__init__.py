"""Leases and ledger in a SQLite file, for the processes of one host."""
