"""A browser that a test drives: Debian's Chromium, by selenium."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
from selenium import webdriver

#: It asks nobody but the page: without a network, each question of its own may take minutes.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
)
#: What one command to it may take; selenium itself would wait for ever.
COMMAND_SECS = 120


@contextmanager
def browser(folder: Path, width: int = 1200, height: int = 1100) -> Iterator[webdriver.Chrome]:
    """One whose profile is in ``folder``."""
    options = webdriver.ChromeOptions()
    for one in (*OPTIONS, f"--window-size={width},{height}", f"--user-data-dir={folder}/profile"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(COMMAND_SECS)  # which selenium takes for its own
    try:
        driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    finally:
        socket.setdefaulttimeout(before)
    service = psutil.Process(driver.service.process.pid)
    family = [service, *service.children(recursive=True)]
    try:
        driver.set_page_load_timeout(COMMAND_SECS / 2)
        yield driver
    finally:
        try:
            driver.quit()
        finally:
            for one in family:
                with suppress(psutil.NoSuchProcess):
                    one.kill()  # but not who has its pid now
