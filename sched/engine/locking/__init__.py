"""Take locks by hand: outside jobs, under the same leases."""
