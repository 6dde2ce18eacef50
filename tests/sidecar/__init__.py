"""A real Dapr sidecar with real stores, and a proxy that makes it misbehave."""
