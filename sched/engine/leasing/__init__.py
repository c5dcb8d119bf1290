"""Keep leases: renew them, end those that are in doubt, and see which instance holds one."""
