"""What supervisorctl prints, made from reports."""
