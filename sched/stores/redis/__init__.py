"""Leases and ledger in one Redis server, also behind Sentinel or in a Cluster."""
