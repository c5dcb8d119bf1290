"""Keep leases: renew them, give up what was granted unheard, and see who holds what."""
