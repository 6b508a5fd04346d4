"""What the Gunicorns have told of themselves."""
