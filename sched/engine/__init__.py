"""The loops that drive the domain through its ports."""
