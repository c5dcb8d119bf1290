"""Keep leases and ledger in this process: the reference that other stores are compared with."""
