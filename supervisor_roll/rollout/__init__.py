"""The ground: what a rollout is, as pure values and one pure machine.

No I/O, no clock, no logging. Time is an argument, always in seconds of one
monotonic clock.
"""
