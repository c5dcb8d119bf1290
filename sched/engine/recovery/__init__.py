"""Look after what was left behind: claims without an end, unwritten outcomes."""
