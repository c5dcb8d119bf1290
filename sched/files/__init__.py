"""Files of this user alone: what stores, telemetry and the face share, though it asks the operating system."""
