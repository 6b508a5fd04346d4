"""Workers that are past a limit, each replaced before it leaves."""
