"""A process beside the scheduler, which sees what the scheduler cannot say. Design: docs/sidecar.md."""
