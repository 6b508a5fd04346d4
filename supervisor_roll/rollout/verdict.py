"""Whether the fresh instances answer worse than the outdated ones."""

from __future__ import annotations

from supervisor_roll.rollout.events import RequestCounts
from supervisor_roll.rollout.settings import Amount

# Fresh instances answer worse than outdated ones if they made so many errors (where the outdated
# ones answered nothing, the second so many), and their share of errors is by more than the
# setting ``max_error_rate_increase`` above so many times the outdated ones' share.
MIN_ERRORS, MIN_ERRORS_ALONE = 3, 10
TIMES = 2


def error_rate_regression(
    fresh: RequestCounts, outdated: RequestCounts, increase: Amount | None
) -> str:
    """Say how the fresh instances answer worse than the outdated ones; empty if not.

    ``increase`` is a percentage; None: they are not compared.
    """
    enough = MIN_ERRORS if outdated.requests else MIN_ERRORS_ALONE
    if increase is None or fresh.errors < enough or not fresh.requests:
        return ""
    before = outdated.errors / outdated.requests if outdated.requests else 0.0
    share = fresh.errors / fresh.requests
    if share <= TIMES * before + increase.number / 100:
        return ""
    return (
        f"the fresh workers answer worse: {fresh.errors} of {fresh.requests} requests failed "
        f"({share:.0%}), of the outdated ones' {outdated.errors} of {outdated.requests} "
        f"({before:.0%}) in the same time; more than twice that and {increase} is too many"
    )
