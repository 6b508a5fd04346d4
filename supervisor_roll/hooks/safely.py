"""Call a hook so that no exception reaches Gunicorn; log it instead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

log = logging.getLogger("gunicorn.error")


def safely(hook: Callable[..., None], *args: Any) -> None:
    """Call our part of a hook. An Exception from it is logged, never raised into Gunicorn.

    SystemExit passes: it ends an arbiter, or a worker, that is not to go on.
    """
    try:
        hook(*args)
    except Exception:  # whatever it is, it must not end our host
        log.warning(
            "supervisor_roll: %s failed; Gunicorn goes on without it", hook.__name__, exc_info=True
        )
