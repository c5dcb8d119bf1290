"""What schedulers report: received over the socket, and kept as history."""
