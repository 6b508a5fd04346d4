"""The page in a real supervisord's HTTP servers; the tests speak for the listener."""

from __future__ import annotations

import hashlib
import json
import re
import socket
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPResponse

import pytest

from supervisor_roll.wire import mailbox as wire
from tests.rpc.supervised import DEAF_LISTENER, PASSWORD, USER, Supervised, wait_for

SITE = "http://127.0.0.1"


class Browser:
    """Speaks HTTP with one of supervisord's servers, as ``credentials`` say (USER:PASSWORD)."""

    def __init__(self, site: Supervised, credentials: str = f"{USER}:{PASSWORD}") -> None:
        self._site = site
        self._headers = {"Authorization": f"Basic {b64encode(credentials.encode()).decode()}"}

    def get(self, path: str, method: str = "GET") -> tuple[int, str, HTTPResponse]:
        return self._ask(method, f"/roll/{path}", None, self._headers)

    def order(
        self, body: str, token: str | None = None, **headers: str
    ) -> tuple[int, str, HTTPResponse]:
        said = {"X-Roll-Token": self.token if token is None else token, **headers}
        said = {name.replace("_", "-"): value for name, value in said.items()}
        return self._ask("POST", "/roll/orders", body, {**self._headers, **said})

    @property
    def token(self) -> str:
        found = re.search(r'name="token" content="(\w+)"', self.get("")[1])
        assert found
        return found[1]

    def _connection(self) -> HTTPConnection:
        return HTTPConnection("127.0.0.1", self._site.port, timeout=30)

    def _ask(
        self, method: str, path: str, body: str | None, headers: dict[str, str]
    ) -> tuple[int, str, HTTPResponse]:
        connection = self._connection()
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), answer
        finally:
            connection.close()


class OverUnix(Browser):
    """By the Unix socket, which asks for no password."""

    def _connection(self) -> HTTPConnection:
        connection = HTTPConnection("localhost", timeout=30)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self._site.socket))
        return connection


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as made:
        yield made


def order(**changes: object) -> str:
    return json.dumps({"kind": "rollout", "names": ["myapp"], "by": "forged", **changes})


def test_without_the_password_nothing_is_seen(site: Supervised) -> None:
    for path in ("", "page.js", "status.json", "events", "metrics", "jobs/x.json"):
        status, text, answer = Browser(site, f"{USER}:guess").get(path)
        assert (status, answer.getheader("WWW-Authenticate")) == (401, 'Basic realm="default"')
        assert "roll" not in text
    assert Browser(site, f"{USER}:guess").order(order(), Browser(site).token)[0] == 401
    assert site.exchange().requests == []


@pytest.mark.parametrize("kind", [Browser, OverUnix])
def test_the_page_is_behind_both_servers(site: Supervised, kind: type[Browser]) -> None:
    browser = kind(site)
    for path, type in (("", "text/html"), ("page.css", "text/css"), ("page.js", "text/javascript")):
        status, text, answer = browser.get(path)
        assert status == 200 and text
        assert str(answer.getheader("Content-Type")).startswith(type)
        policy = str(answer.getheader("Content-Security-Policy"))
        assert "script-src 'self'" in policy and "unsafe" not in policy
        assert answer.getheader("X-Frame-Options") == "DENY"
        assert answer.getheader("X-Content-Type-Options") == "nosniff"
    for path in ("nosuch", "../supervisord.conf", "page.html", "rollouts/x.json", "metrics.json"):
        assert browser.get(path)[0] == 404
    assert browser.get("", "DELETE")[0] == 405


def test_what_the_listener_renders_is_handed_to_all_who_wait(
    site: Supervised, pool: ThreadPoolExecutor
) -> None:
    asked = [pool.submit(Browser(site).get, "status.json") for _ in range(5)]
    wait_for(lambda: site.exchange().documents == ["status"])
    assert site.exchange().page_watched
    text = json.dumps({"programs": ["<script>alert(1)</script>"] * 20_000})
    site.exchange(documents={"status": text})
    for one in asked:
        status, said, answer = one.result()
        assert (status, said) == (200, text)
        assert answer.getheader("Content-Type") == "application/json"
        assert answer.getheader("Roll-Listener") == "RUNNING"
    number = answer.getheader("Roll-Number")
    poll = pool.submit(Browser(site).get, f"events?since={number}")
    site.exchange(documents={"status": "{}"})
    assert poll.result()[1] == "{}"


def test_metrics_are_text_and_a_rollout_has_its_number(
    site: Supervised, pool: ThreadPoolExecutor
) -> None:
    asked = [pool.submit(Browser(site).get, path) for path in ("metrics", "rollouts/12.json")]
    wait_for(lambda: {*site.exchange().documents} == {"metrics", "rollouts/12"})
    site.exchange(documents={"metrics": "up 1\n", "rollouts/12": "[]"})
    (_, text, answer), (_, one, _) = [each.result() for each in asked]
    assert (text, one) == ("up 1\n", "[]")
    assert answer.getheader("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    asked = [pool.submit(Browser(site).get, "metrics")]
    wait_for(lambda: site.exchange().documents == ["metrics"])
    site.exchange(documents={"metrics": ""})
    status, text, _ = asked[0].result()
    assert status == 501 and "supervisor_roll[metrics]" in text


def test_an_order_is_a_request_like_any_other(site: Supervised) -> None:
    status, text, _ = Browser(site).order(order(values={"max_surge": "2"}))
    receipt = json.loads(text)
    assert (status, receipt["programs"]) == (200, ["myapp"])
    [request] = site.exchange().requests
    assert (request.id, request.kind, request.values) == (
        receipt["id"],
        wire.ROLLOUT,
        {"max_surge": "2"},
    )
    assert request.by == f"page /roll/ ({USER}@127.0.0.1)"
    report = wire.Report(request.id, "myapp", "note", {"text": "<b>"})
    site.exchange(fetched=[request.id], done=[request.id], reports=[report])
    status, text, _ = Browser(site).get(f"jobs/{request.id}.json?since=0")
    assert (status, json.loads(text)["reports"][0]["facts"]) == (200, {"text": "<b>"})
    assert Browser(site).get("jobs/nosuch.json")[0] == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (order(values={"on_failure": "reboot"}), "only a [roll:NAME] section"),
        (order(kind="exchange"), "is none of"),
        (order(names=["nosuch"]), "no such process"),
        ("[" * 20_000, "nested too deeply"),
        ("\0<script>", "not JSON"),
    ],
)
def test_what_the_command_line_may_not_say_the_page_may_not(
    site: Supervised, body: str, says: str
) -> None:
    status, text, _ = Browser(site).order(body)
    assert status == 400 and says in json.loads(text)["error"]
    assert site.exchange().requests == []


def test_an_order_from_another_site_does_nothing(site: Supervised) -> None:
    browser = Browser(site)
    forged: list[dict[str, str]] = [
        {"token": ""},
        {"token": "0" * 32},
        {"token": "\N{EURO SIGN}".encode().decode("latin-1")},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site", "Origin": f"{SITE}:{site.port}"},
    ]
    for one in forged:
        assert browser.order(order(), **one)[0] == 403, one
    assert site.exchange().requests == []
    status, text, _ = browser.order(
        order(), Origin=f"{SITE}:{site.port}", Sec_Fetch_Site="same-origin"
    )
    assert status == 200
    id = json.loads(text)["id"]
    site.exchange(fetched=[id], done=[id])


def test_an_order_is_bounded_before_it_is_read(site: Supervised) -> None:
    browser = Browser(site)
    assert browser.order(order(), Content_Length="99999999")[0] == 413
    assert browser.order("", Content_Length="0")[0] == 413
    assert browser.order(order(), Content_Length="-1")[0] == 411
    assert browser.order(order(), Content_Length="", Transfer_Encoding="chunked")[0] == 411
    assert site.exchange().requests == []


def test_without_a_listener_the_page_says_so(make_site: Callable[..., Supervised]) -> None:
    site = make_site(DEAF_LISTENER).start()
    status, text, answer = Browser(site).get("status.json")
    assert (status, answer.getheader("Roll-Listener")) == (503, "")
    assert "there is none" in text
    site.exchange(hello=True)
    site.server.supervisor.stopProcess("roll")
    status, text, answer = Browser(site).get("status.json")
    assert (status, answer.getheader("Roll-Listener")) == (503, "STOPPED")
    status, text, _ = Browser(site).order(order())
    assert status == 400 and "the listener roll is STOPPED" in json.loads(text)["error"]


def test_a_password_in_digest_form_and_a_reload(
    make_site: Callable[..., Supervised], python: str
) -> None:
    site = make_site(DEAF_LISTENER, python=python)
    digest = hashlib.sha1(PASSWORD.encode()).hexdigest()
    config = site.config.read_text()
    site.config.write_text(config.replace(f"password={PASSWORD}", f"password={{SHA}}{digest}"))
    site.start()
    token = Browser(site).token
    assert Browser(site, f"{USER}:guess").get("")[0] == 401
    site.server.supervisor.restart()
    wait_for(lambda: Browser(site).token != token)
    wait_for(lambda: site.info("roll")["statename"] == "RUNNING")
    assert Browser(site).order(order(), token)[0] == 403, "what was there before is gone"
    site.exchange(hello=True)
    status, text, _ = Browser(site).order(order())
    assert status == 200, text
    assert len(site.exchange().requests) == 1


def test_the_page_can_be_turned_off(make_site: Callable[..., Supervised]) -> None:
    site = make_site(DEAF_LISTENER, "page=false").start()
    status, _, answer = Browser(site).get("")
    assert status == 404 and not answer.getheader("Content-Security-Policy")
    assert Browser(site).order(order(), "0" * 32)[0] == 400  # supervisor's own handler takes none
    assert site.exchange().requests == []
