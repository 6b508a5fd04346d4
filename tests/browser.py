"""A browser that a test drives: Debian's Chromium, by selenium."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from selenium import webdriver

OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage")


@contextmanager
def browser(folder: Path, width: int = 1200, height: int = 1100) -> Iterator[webdriver.Chrome]:
    """One whose profile is in ``folder``."""
    options = webdriver.ChromeOptions()
    for one in (*OPTIONS, f"--window-size={width},{height}", f"--user-data-dir={folder}/profile"):
        options.add_argument(one)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    try:
        yield driver
    finally:
        driver.quit()
