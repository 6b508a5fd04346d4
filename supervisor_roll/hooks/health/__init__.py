"""The health check that a worker makes of itself, for each kind of application."""
