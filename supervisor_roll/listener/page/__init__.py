"""What the page and Prometheus are shown, rendered here so that supervisord only copies it."""
