"""How long a rollout waits for what. The operator's own limits are settings."""

from __future__ import annotations

# An arbiter handles a signal within a second unless it is busy; since Gunicorn 25 a HUP
# keeps it busy until its old workers have drained.
CONFIRM_SECS = 15.0
# After that long it is first looked whether a signal was heard whose effect was not reported.
LOOK_SECS = 0.5
# How often a signal is repeated; the listener may have been killed before it was sent.
REPEATS = 2
# What an instance that serves nobody gets between TERM and KILL, and ABRT and KILL.
STOP_GRACE_SECS = 5.0
# How long the count may take to come back after the last instance left.
SETTLE_SECS = 10.0
# For how long the process table must show fewer workers than there are to be at the end.
STEADY_SECS = 2.0
# How long an arbiter that halts may take until it is gone.
HALT_SECS = 2.0
# An arbiter that has counted one worker more has forked it by then, and it has spoken.
BIRTH_SECS = 2.0
