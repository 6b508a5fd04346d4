"""The progress bar: tqdm's, without what a guest in supervisorctl must not leave behind."""

from __future__ import annotations

import threading

from tqdm import tqdm


class Bar(tqdm):
    """Runs no monitor thread."""

    monitor_interval = 0


# tqdm's own lock would also make a semaphore of the operating system's.
Bar.set_lock(threading.RLock())
