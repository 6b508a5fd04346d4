"""The words that settings, rollouts and messages share."""

from __future__ import annotations

# How a program is replaced.
WORKERS, ARBITER = "workers", "arbiter"

# A rollout's states.
PROGRESSING, PAUSED = "progressing", "paused"
COMPLETE, FAILED, ABORTED = "complete", "failed", "aborted"
FINAL = frozenset({COMPLETE, FAILED, ABORTED})

# So many programs of a job may be rolled at once.
MAX_PARALLEL = 64
