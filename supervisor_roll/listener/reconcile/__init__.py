"""What is configured against what runs, and what to do about it."""
