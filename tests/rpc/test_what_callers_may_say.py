"""What whoever may speak to supervisord may say: the values of a request, and its bounds."""

from __future__ import annotations

import json
import time
from typing import Any
from xmlrpc.client import Fault

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.ctl import arguments
from supervisor_roll.rollout.reports import Warned
from supervisor_roll.rollout.settings import _RULES, ASKABLE
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json
from supervisor_roll.wire.mailbox import MAX_REQUEST_BYTES, Report
from tests.rpc.supervised import Supervised, wait_for

DEEP = "[" * 20_000 + "]" * 20_000


def ask(**changes: object) -> str:
    return json.dumps({"kind": "rollout", "names": ["myapp"], "by": "x", **changes})


def refused(site: Supervised, method: str, *arguments: object) -> str:
    with pytest.raises(Fault) as caught:
        getattr(site.server.roll, method)(*arguments)
    assert caught.value.faultCode == Faults.BAD_ARGUMENTS, caught.value
    text: str = caught.value.faultString
    assert text.isprintable() and len(text) < 2000
    return text


def test_what_a_request_may_set_is_what_the_command_has_options_for() -> None:
    options = {*arguments._SETTINGS.values(), "preflight"}
    assert options == ASKABLE
    assert {"on_failure", "release", "watch", "health", "auto"} <= _RULES.keys() - ASKABLE


@pytest.mark.parametrize("key", sorted([*(_RULES.keys() - ASKABLE), "nosuch", "on_failure ", ""]))
@pytest.mark.parametrize("kind", [wire.ROLLOUT, wire.DRY_RUN])
def test_any_other_setting_is_refused_with_its_name_and_the_rule(
    site: Supervised, key: str, kind: str
) -> None:
    text = refused(site, "request", ask(kind=kind, values={"strategy": "workers", key: "1"}))
    assert f" {key}=" in text
    assert "only a [roll:NAME] section" in text and "max_surge" in text
    assert site.exchange().requests == []


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"max_surge": "many"}, "max_surge=many: must be a count"),
        ({"strategy": "id > /tmp/x"}, "must be one of auto, workers, arbiter"),
        ({"max_surge": " " * 60_000 + "1"}, "must be 80 characters at most"),
        ({"max_surge": 1}, "1 is not text"),
        ({"max_surge": json.loads("[" * 700 + "]" * 700)}, "is not text"),
        (["max_surge"], "is not an object"),
    ],
)
def test_a_value_that_breaks_its_rule_is_refused(
    site: Supervised, values: object, says: str
) -> None:
    assert says in refused(site, "request", ask(values=values))


@pytest.mark.parametrize(
    "text",
    [
        ask(by="x" * MAX_REQUEST_BYTES),
        ask(names=["x" * MAX_REQUEST_BYTES]),
        json.dumps({"kind": "rollout", "names": ["\u20ac" * 30_000]}, ensure_ascii=False),
        " " * MAX_REQUEST_BYTES + ask(),
    ],
)
def test_more_than_64_kib_are_not_even_parsed(site: Supervised, text: str) -> None:
    assert "more than 65536 bytes" in refused(site, "request", text)


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        ask(values=None),
        ask(names="myapp"),
        ask(names=[["myapp"]]),
        ask(names=["x" * 2000]),
        ask(by=5),
        ask(kind=[1]),
        ask(kind="abort", values={"max_surge": "1"}),
        ask(kind="abort", parallel=2),
        ask(parallel=65),
        ask(parallel="2"),
        '{"kind": "rollout", "names": ["myapp"], "by": ' + "9" * 50_000 + "}",
        '{"kind": "rollout", "names": ["myapp"], "by": ' + DEEP + "}",
        "null",
        "",
        5,
        [ask()],
        {"kind": "rollout"},
        True,
    ],
)
def test_a_malformed_request_is_a_fault(site: Supervised, text: object) -> None:
    refused(site, "request", text)


def test_who_asks_is_one_short_line(site: Supervised) -> None:
    receipt = json.loads(site.server.roll.request(ask(by="o\x1b[2J\n\ud800" + "x" * 1000)))
    [request] = site.exchange().requests
    assert request.by == "o?[2J??" + "x" * 73
    [job] = from_json(wire.Overview, site.server.roll.status()).jobs
    assert job.by == request.by
    site.exchange(fetched=[receipt["id"]], done=[receipt["id"]])


def test_names_are_expanded_once_however_often_they_are_given(site: Supervised) -> None:
    receipt = from_json(wire.Receipt, site.server.roll.request(ask(names=["all"] * 8_000)))
    assert sorted(receipt.programs) == ["myapp", "web:one", "web:two"]
    site.exchange(fetched=[receipt.id], done=[receipt.id])


def test_supervisord_answers_at_once_whatever_waits(site: Supervised) -> None:
    """Requests of the greatest size, until no more are taken."""
    names = [f"{'n' * 900}{n}" for n in range(60)]
    ids = []
    with pytest.raises(Fault, match="too many requests wait for the listener"):
        for _ in range(200):
            said = site.server.roll.request(ask(kind="update", names=names, by="b" * 5000))
            ids.append(json.loads(said)["id"])
    began = time.monotonic()
    text = site.server.roll.status()
    assert len(text) < 1_000_000
    assert time.monotonic() - began < 5  # on a machine that does ten other things
    site.exchange(fetched=ids, done=ids)


def test_long_reports_come_in_several_answers(site: Supervised) -> None:
    job = site.request("myapp").id
    said = [Report(job, "myapp", Warned.kind, {"text": "x" * 10_000}) for _ in range(100)]
    site.exchange(fetched=[job], reports=said, done=[job])
    seen, answers, done = list[int](), 0, False
    while not done:
        found = site.reports(job, since=seen[-1] if seen else 0)
        assert found.reports, "each answer brings something"
        seen += [one.seq for one in found.reports]
        answers, done = answers + 1, found.done
    assert seen == list(range(1, 101))
    assert 5 < answers < 50


NAMED = (
    "program",
    "startSuccessor",
    "promoteSuccessor",
    "discardSuccessor",
    "getSuccession",
    "adopt",
    "resize",
)


@pytest.mark.parametrize("value", [5, [], {}, "", True, 1.5, "x" * 300_000])
def test_whatever_a_method_is_called_with_it_answers_a_fault(
    site: Supervised, value: object
) -> None:
    """Of the listener's with its token, too: never a traceback, or a wrong number of parameters."""
    calls: list[tuple[Any, ...]] = [(site.listener, name, value) for name in NAMED]
    calls += [(site.listener, "exchange", value), (site.server.roll, "request", value)]
    calls += [(site.server.roll, "reports", value, 0), (site.server.roll, "reports", "x", value)]
    calls += [] if isinstance(value, list) else [(site.server.roll, "workers", value)]
    for methods, name, *given in calls:
        with pytest.raises(Fault) as caught:
            getattr(methods, name)(*given)
        fault = caught.value
        assert fault.faultCode in (Faults.BAD_ARGUMENTS, Faults.BAD_NAME), (name, value, fault)
        assert "mistake" not in fault.faultString
    assert "Traceback" not in (site.folder / "log").read_text()


@pytest.mark.parametrize(
    "text",
    [
        DEEP,
        '{"pid": 1, "reports": [{"job": "j", "program": "p", "kind": "k", "facts": %s}]}'
        % ('{"a":' * 900 + "1" + "}" * 900),
        '{"pid": 1e999}',
        '{"pid": 1, "statuses": {"myapp": {"state": 5}}}',
        '{"pid": 1, "state": "{}"}',
        '{"pid": 1, "state": {"myapp": {"run": 1}}}',
        '{"pid": 1, "signals": [{"number": 1, "namespec": "myapp"}]}',
        "x" * (wire.MAX_EXCHANGE_BYTES + 1),
    ],
)
def test_a_malformed_exchange_is_a_fault(site: Supervised, text: str) -> None:
    with pytest.raises(Fault) as caught:
        site.listener.exchange(text)
    assert caught.value.faultCode in (Faults.BAD_ARGUMENTS, Faults.FAILED)
    wait_for(lambda: site.exchange() is not None)
