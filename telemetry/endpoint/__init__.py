"""The HTTP endpoint of a scheduler: /metrics, /healthz and /readyz, and the checks that the sidecar shares with it."""
