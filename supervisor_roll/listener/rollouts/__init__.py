"""Jobs, and each program's turn in them from admission to its end."""
