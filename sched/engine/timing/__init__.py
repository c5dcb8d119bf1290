"""Wake up at the right instant: the timeline, one-shot timers, the lead, and our clock against the store's."""
