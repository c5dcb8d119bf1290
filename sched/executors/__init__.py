"""Where the code of jobs runs: threads, and one event loop."""
