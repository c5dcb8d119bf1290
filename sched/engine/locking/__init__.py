"""Take locks outside jobs, under the same leases."""
