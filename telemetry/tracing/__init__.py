"""Where spans go, and which ids they have."""
