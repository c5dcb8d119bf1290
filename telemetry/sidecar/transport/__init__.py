"""What goes over the socket between a scheduler and its sidecar: frames, ring, stream."""
