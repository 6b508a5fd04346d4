"""The page in a real browser: a rollout is followed, understood, held and stopped by who has read
nothing, and nobody without the password sees any of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from selenium.common.exceptions import WebDriverException
from selenium.webdriver import ActionChains, Chrome, Keys

from tests.browser import browser
from tests.harness import Program, Site, free_port, wait_until
from tests.harness.configuration import Inet
from tests.harness.debian_packages import CHROMIUM, install

WORKERS = 3
HOSTILE = "<img src=x onerror=document.title='hacked'>"

# The worst contrast of a text with what is behind it, of all that is to be seen.
_CONTRAST = """
const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => {
  const [r, g, b] = numbers(colour).map((one) => one / 255).map(
    (one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (numbers(colour)[3] !== 0) return colour;
  }
};
const found = [];
for (const element of document.querySelectorAll("h1, h2, p, button, span, li, th, td, time, pre")) {
  if (!element.checkVisibility() || element.disabled || !element.textContent.trim()) continue;
  const [one, two] = [light(getComputedStyle(element).color), light(ground(element))].sort();
  found.push([(Math.max(one, two) + 0.05) / (Math.min(one, two) + 0.05), element.outerHTML]);
}
return found.sort((a, b) => a[0] - b[0])[0];
"""


class PageSite(Site):
    """One program, with supervisord on a port, too."""

    def __init__(self) -> None:
        super().__init__(Program(workers=WORKERS))
        self.inet = Inet(free_port())
        self.write_conf("inet", self.inet.section)


class Page:
    """What a person does with it."""

    def __init__(self, browser: Chrome, site: PageSite) -> None:
        self.browser, self.site = browser, site

    def open(self, password: str | None = None) -> None:
        inet = self.site.inet
        secret = inet.password if password is None else password
        self.browser.get(f"http://{inet.username}:{secret}@127.0.0.1:{inet.port}/roll/")

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements("css selector", selector)

    def text(self, selector: str = "article") -> str:
        """All that is to be read there; by script, since the page may change at any moment."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => e.innerText).join()"
        text: str = self.browser.execute_script(script, selector)
        return text

    def wait(self, selector: str, text: str, secs: float = 30.0) -> str:
        wait_until(lambda: text in self.text(selector), secs, f"{selector} says {text!r}")
        return self.text(selector)

    def click(self, kind: str) -> str:
        """Click a program's button, and the confirmation; what that says will happen."""
        self.press(f"article [data-kind={kind}]:enabled")
        said = self.wait("dialog[open]", "web")
        self.press("#ask [value=yes]")
        return said

    def press(self, selector: str) -> None:
        """Click the first of these, as soon as it stands still."""

        def clicked() -> bool:
            found = self.all(selector)
            if found:
                found[0].click()
            return bool(found)

        wait_until(clicked, 30, f"{selector} can be clicked", not_yet=(WebDriverException,))

    def workers(self, state: str) -> set[int]:
        """The pids of the workers that are shown in that state."""
        script = "return [...document.querySelectorAll(arguments[0])].map(e => +e.dataset.pid)"
        return {*self.browser.execute_script(script, f"article [data-state={state}]")}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    why = install(CHROMIUM)
    if why:
        pytest.skip(f"there is no Chromium to look at the page with: {why}")
    folder: Path = tmp_path_factory.mktemp("browser")
    with PageSite() as site, browser(folder) as driver:
        shown = Page(driver, site)
        shown.open()
        shown.wait("article", f"{WORKERS} of {WORKERS} ready")
        yield shown


def test_a_wrong_password_sees_nothing(page: Page) -> None:
    # By another name, so that the browser does not know the password for it.
    page.browser.switch_to.new_window("window")
    page.browser.get(f"http://ops:guess@localhost:{page.site.inet.port}/roll/")
    source = page.browser.page_source
    page.browser.close()
    page.browser.switch_to.window(page.browser.window_handles[0])
    assert "token" not in source and "Rollouts" not in source


def test_a_rollout_is_followed_to_its_last_worker(page: Page) -> None:
    old = page.site.workers("web").children
    page.site.add_release("v2", boot="gate")
    page.site.deploy("v2")
    assert f"Replaces the {WORKERS} workers of web" in page.click("rollout")
    for done in range(1, WORKERS + 1):
        wait_until(lambda: page.workers("booting"), 30, "a worker is shown that boots")
        page.site.open_gate("v2", boots=1)
        page.wait("article .reports", f"{done} of {WORKERS}: worker")
    page.site.open_gate("v2")
    page.wait("article .badge", "complete")
    fresh = page.site.workers("web").children
    assert not fresh & old
    wait_until(lambda: page.workers("ready") == fresh, 15, "those that serve are shown")
    assert old <= page.workers("gone")
    page.wait("#history", "complete")
    page.press("#history button")
    told = page.wait("#shown[open]", f"complete: {WORKERS} of {WORKERS} workers replaced")
    assert "wanted: 3" in told
    script = "return [...document.querySelectorAll('#shown .rows li')].map(e => +e.dataset.pid)"
    assert {*page.browser.execute_script(script)} == old | fresh
    page.press("#shown .close")


def test_pause_resume_and_abort_by_click(page: Page) -> None:
    before = page.site.workers("web").children
    page.site.add_release("v3", boot="gate")
    page.site.deploy("v3")
    page.click("rollout")
    wait_until(lambda: page.workers("booting"), 30, "a worker is shown that boots")
    assert "where it is" in page.click("pause")
    page.wait("article .badge", "paused")
    assert page.site.rollout("web")["state"] == "paused"
    page.click("resume")
    page.wait("article .badge", "progressing")
    assert "removes what it started" in page.click("abort")
    wait_until(lambda: page.site.rollout("web")["why"], 30, "the listener knows of it")
    page.site.open_gate("v3")
    page.wait("article .badge", "aborted")
    assert page.site.wait_ready("web", WORKERS).children == before
    assert f"page /roll/ ({page.site.inet.username}@127.0.0.1)" in page.text("article .why")


def test_a_bad_release_is_shown_with_its_reason(page: Page) -> None:
    before = page.site.workers("web").children
    page.site.deploy(HOSTILE, boot="raise")
    page.click("rollout")
    page.wait("article .badge", "failed")
    assert f"ImportError: release {HOSTILE} lacks a module" in page.text("article .why")
    page.wait("#history", HOSTILE)
    assert page.browser.title == "Rollouts", "what a program says is text"
    assert page.site.wait_ready("web", WORKERS).children == before
    page.site.deploy("v1")


def test_a_dry_run_tells_what_would_happen_and_changes_nothing(page: Page) -> None:
    before = page.site.workers("web").children
    page.click("dry-run")
    said = page.wait("#shown[open]", "It would replace 3 workers")
    assert "The application loads." in said
    page.press("#shown .close")
    assert page.site.workers("web").children == before


def test_by_the_keyboard_alone(page: Page) -> None:
    def press(*keys: str) -> None:
        ActionChains(page.browser).send_keys(*keys).perform()

    boots = page.site.boots("web")
    page.browser.execute_script("document.querySelector('[data-kind=recycle]').focus()")
    press(Keys.ENTER)
    page.wait("dialog[open]", "Recycle web?")
    press(Keys.ENTER)  # on Cancel, which is where the focus is
    wait_until(lambda: not page.all("dialog[open]"), 15, "it is closed")
    press(Keys.ENTER)
    page.wait("dialog[open]", "Recycle web?")
    press(Keys.TAB, Keys.ENTER)
    page.wait("article .reports", "complete: 1 of 1 worker replaced")
    assert page.site.boots("web") == boots + 1, "what was cancelled was not done"


def test_prometheus_is_told_what_the_page_has_shown(page: Page) -> None:
    page.open()
    page.wait("#history", "complete")
    script = "return fetch('/roll/metrics').then(answer => answer.text())"
    # No fetch takes an address with a password, and this page's has one.
    script = script.replace("'/roll", "location.origin + '/roll")
    text = page.browser.execute_script(script)
    found = {
        (one.name, one.labels.get("verdict", "")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
        if not one.name.endswith("_bucket")
    }
    verdicts = page.text("#history .badge").split(",")
    for verdict in ("failed", "aborted"):
        assert found["supervisor_roll_rollouts_total", verdict] == verdicts.count(verdict)
    complete = found["supervisor_roll_rollouts_total", "complete"]
    recycled = found["supervisor_roll_recycled_workers_total", ""]
    assert complete + recycled == verdicts.count("complete")
    assert found["supervisor_roll_ready_workers", ""] == WORKERS


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_can_be_read_on_a_telephone(page: Page, scheme: str) -> None:
    command = page.browser.execute_cdp_cmd
    media = [{"name": "prefers-color-scheme", "value": scheme}]
    command("Emulation.setEmulatedMedia", {"features": media})
    size = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    command("Emulation.setDeviceMetricsOverride", size)
    try:
        assert page.browser.execute_script("return document.body.scrollWidth") <= 390
        ratio, worst = page.browser.execute_script(_CONTRAST)
        assert ratio >= 4.5, worst
    finally:
        command("Emulation.clearDeviceMetricsOverride", {})


def test_the_browser_has_found_nothing_wrong(page: Page) -> None:
    found = [one["message"] for one in page.browser.get_log("browser") if "401" not in str(one)]
    assert found == []
