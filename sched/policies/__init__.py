"""Whether and when: one pure module for each policy."""
