"""The page in a browser, as docs/page.png: a program is being rolled, and was before."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.browser import browser
from tests.harness import Program, Site, free_port, wait_until
from tests.harness.configuration import Inet
from tests.harness.debian_packages import CHROMIUM, install
from tests.harness.told_to_go import exit_when_told

ROOT = Path(__file__).resolve().parents[1]
WIDTH, HEIGHT = 1000, 780
WORKERS = 4
#: So many of them are replaced when it is taken.
REPLACED = 2
#: After the first rollout, whose workers it shows too.
SERVED_SECS = 6.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/screenshot", description=__doc__)
    parser.add_argument("--file", type=Path, default=ROOT / "docs" / "page.png")
    file = parser.parse_args().file
    exit_when_told()
    why = install(CHROMIUM)
    if why:
        print(why, file=sys.stderr)
        return 1
    inet = Inet(free_port())
    site = Site()
    site.write_conf("inet", inet.section)
    roll = {"release": str(site.current)}
    site.write(Program("shop", workers=WORKERS, boot_secs=1.5, port=free_port(), roll=roll))
    with site, tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as page:
        metrics = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        page.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        page.get(f"http://{inet.username}:{inet.password}@127.0.0.1:{inet.port}/roll/")
        site.deploy("v2", boot_secs=0.2)
        site.roll("shop")
        wait_until(lambda: "complete" in page.find_element("id", "history").text, 60, "history")
        time.sleep(SERVED_SECS)
        site.deploy("v3", boot_secs=1.5)
        shop = site.ctl_start("rollrestart", "shop")
        text = f"{REPLACED} of {WORKERS}: worker"

        def is_half_done() -> bool:
            said = page.find_element("tag name", "article").text
            return "progressing" in said and text in said

        wait_until(is_half_done, 60, text)
        page.save_screenshot(str(file))
        shop.ends(0)
    return 0


if __name__ == "__main__":
    sys.exit(main())
