"""Whether and when an occurrence runs: one pure module for each policy."""
