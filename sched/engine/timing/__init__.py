"""Wake up at the right instant: the timeline, one-shot timers, the clock against the store's."""
