"""Leases and ledger in etcd."""
