"""The listener with nothing to do: it executes a small program in its own place, which waits."""
