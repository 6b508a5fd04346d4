"""Our part of the hooks that run in Gunicorn's workers."""
