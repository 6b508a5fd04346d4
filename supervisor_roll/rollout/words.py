"""The words that settings, rollouts and messages share."""

from __future__ import annotations

# How a program is replaced.
WORKERS, ARBITER = "workers", "arbiter"

# A rollout's states.
PROGRESSING, PAUSED = "progressing", "paused"
COMPLETE, FAILED, ABORTED = "complete", "failed", "aborted"
FINAL = frozenset({COMPLETE, FAILED, ABORTED})

# A worker's states, beside failed.
BOOTING, READY, BAKING, DRAINING, GONE = "booting", "ready", "baking", "draining", "gone"

# So many programs of a job may be rolled at once.
MAX_PARALLEL = 64
