"""What stores show: read by a probe."""
