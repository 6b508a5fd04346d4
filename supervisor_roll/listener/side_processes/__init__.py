"""Processes that the listener runs beside: on_failure, release."""
