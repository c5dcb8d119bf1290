"""Look after what was left behind: orphans, unwritten outcomes, claims in doubt."""
