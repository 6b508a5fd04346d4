"""Whether the fresh instances answer worse than the outdated ones."""

from __future__ import annotations

from supervisor_roll.rollout.events import RequestCounts

# Fresh instances answer worse than outdated ones if they made so many errors (where the outdated
# ones answered nothing, the second so many), and their share of errors is that much more than
# twice the outdated ones' share.
MIN_ERRORS, MIN_ERRORS_ALONE = 3, 10
MARGIN = 0.05


def error_rate_regression(fresh: RequestCounts, outdated: RequestCounts) -> str:
    """In words, how the fresh instances answer worse than the outdated ones; empty if not."""
    enough = MIN_ERRORS if outdated.requests else MIN_ERRORS_ALONE
    if fresh.errors < enough or not fresh.requests:
        return ""
    before = outdated.errors / outdated.requests if outdated.requests else 0.0
    share = fresh.errors / fresh.requests
    if share <= 2 * before + MARGIN:
        return ""
    return (
        f"the fresh workers answer worse: {fresh.errors} of {fresh.requests} requests failed "
        f"({share:.0%}), of the outdated ones' {outdated.errors} of {outdated.requests} "
        f"({before:.0%}) in the same time; more than twice that and {MARGIN:.0%} is too many"
    )
