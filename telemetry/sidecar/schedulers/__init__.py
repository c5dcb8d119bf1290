"""What schedulers tell: received, and kept as history."""
