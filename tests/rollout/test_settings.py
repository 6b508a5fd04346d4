"""Every setting has a rule, and whoever breaks it reads the key, the value and the rule."""

from __future__ import annotations

import re

import pytest

from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.settings import (
    _RULES,
    Amount,
    Budget,
    Health,
    Settings,
    parsed_parallel,
)

COUNT = "must be a count such as 1, or a percentage such as 25%"
SECS = "must be a number of seconds from 0 to 86400"
SOME = "must be more than 0 seconds"
MIB = "must be a whole number of MiB from 1 on, or empty for none"
LIFETIME = "must be a number of seconds from 1 on, or empty for no limit"

ADDRESS = "must be an address such as 127.0.0.1:9101 or [::1]:9101"

BAD = {
    "max_surge": [(value, COUNT) for value in ("", "-1", "1.5", "%", "25 %", "one", "1000000")],
    "max_unavailable": [("x", COUNT), ("25%%", COUNT), ("²", COUNT)],
    "ready_timeout_secs": [
        ("soon", SECS),
        ("-1", SECS),
        ("nan", SECS),
        ("86401", SECS),
        ("0", SOME),
    ],
    "min_ready_secs": [("inf", SECS), ("", SECS), ("-0.1", SECS)],
    "drain_timeout_secs": [("1m", SECS), ("0", SOME)],
    "health": [
        ("status", "must be a path such as /_status, or empty for no check"),
        ("/a b", "must be a path such as /_status, or empty for no check"),
    ],
    "health_host": [
        ("", "must be a host name such as www.example.org"),
        ("a b", "must be a host name such as www.example.org"),
    ],
    "health_headers": [
        ("no colon", "must be lines such as X-Forwarded-Proto: https"),
        ("B d: x", "must be lines such as X-Forwarded-Proto: https"),
        ("A: \x07", "must be lines such as X-Forwarded-Proto: https"),
    ],
    "health_timeout_secs": [("x", SECS), ("0", SOME)],
    "max_error_rate_increase": [
        ("5", "must be a percentage such as 5%, or empty for no comparison"),
        ("101%", "must be a percentage such as 5%, or empty for no comparison"),
    ],
    "agent_listen": [
        (value, ADDRESS)
        for value in (
            "9101",
            "localhost:9101",
            "127.0.0.1",
            "127.0.0.1:0",
            "::1:99",
            "1.1.1.1:70000",
        )
    ],
    "status_path": [
        (value, "must be a path such as /_status, or empty for none")
        for value in ("status", "/a?b", "/a b", "/" + "x" * 200)
    ],
    "haproxy_socket": [("haproxy.sock", ADDRESS), ("localhost:9999", ADDRESS)],
    "haproxy_server": [
        (value, "must be BACKEND/SERVER, as HAProxy's configuration has them")
        for value in ("web", "web/s1;shutdown", "web/s1/s2", "web/s 1")
    ],
    "rolldrain_secs": [("soon", SECS), ("-1", SECS)],
    "canary": [("0", "must be at least 1"), ("0%", "must be at least 1"), ("one", COUNT)],
    "preflight": [("maybe", "must be true or false")],
    "on_failure": [("ln -s 'a", "must be a command line: No closing quotation")],
    "on_failure_timeout_secs": [("0", SOME)],
    "release": [('git "', "must be a command line: No closing quotation")],
    "strategy": [
        ("blue-green", "must be one of auto, workers, arbiter"),
        ("", "must be one of auto, workers, arbiter"),
    ],
    "auto": [("", "must be true or false"), ("2", "must be true or false")],
    "settle_secs": [("soon", SECS), ("-1", SECS), ("86401", SECS)],
    "recycle": [("sometimes", "must be true or false")],
    "recycle_grace_secs": [("0", SOME)],
    "max_worker_rss_mib": [("0", MIB), ("1g", MIB), ("-5", MIB)],
    "max_worker_lifetime_secs": [("0", LIFETIME), ("1d", LIFETIME), ("-5", LIFETIME)],
}


def test_every_rule_has_a_value_that_breaks_it():
    # One wrong path of several is named alone: a test of its own.
    assert set(BAD) | {"watch"} == set(_RULES)


@pytest.mark.parametrize(
    ("key", "value", "rule"),
    [(key, value, rule) for key, cases in BAD.items() for value, rule in cases],
)
def test_a_bad_value_is_an_error_that_names_key_value_and_rule(key: str, value: str, rule: str):
    with pytest.raises(BadSetting) as caught:
        Settings.parsed({"health": "/", key: value})
    assert (caught.value.key, caught.value.value, caught.value.rule) == (key, value, rule)
    assert str(caught.value) == f"{key}={value}: {rule}"


def test_an_error_says_the_place_once_it_is_known():
    with pytest.raises(BadSetting) as caught:
        Settings.parsed({"max_surge": "x"})
    assert str(caught.value.at("/etc/roll.conf [roll:app]")) == (
        f"/etc/roll.conf [roll:app]: max_surge=x: {COUNT}"
    )


def test_only_the_line_of_a_header_that_is_wrong_is_named():
    with pytest.raises(BadSetting, match=r"^health_headers=wrong: must be lines"):
        Settings.parsed({"health": "/", "health_headers": "A: b\nwrong\n"})


def test_only_the_path_that_is_wrong_is_named():
    with pytest.raises(BadSetting) as caught:
        Settings.parsed({"watch": "/srv/current gunicorn.conf.py /etc/x"})
    assert str(caught.value) == (
        "watch=gunicorn.conf.py: must be absolute paths, separated by spaces; %(here)s is the "
        "folder of the file"
    )


def test_an_unknown_key_is_an_error_that_names_the_known_ones():
    with pytest.raises(BadSetting) as caught:
        Settings.parsed({"max_surges": "1"})
    assert str(caught.value).startswith(
        "max_surges=1: unknown key; known are agent_listen, auto, canary, drain_timeout_secs, "
    )
    for key in _RULES:
        assert key in caught.value.rule


@pytest.mark.parametrize(
    "values", [{"max_surge": "0"}, {"max_surge": "0%"}, {"max_surge": "0", "max_unavailable": "0%"}]
)
def test_both_amounts_zero_is_an_error(values: dict[str, str]):
    with pytest.raises(BadSetting, match="must not both be 0: nothing could move"):
        Settings.parsed(values)


@pytest.mark.parametrize("key", [key for key in _RULES if key.startswith("health_")])
def test_a_detail_of_the_health_check_needs_the_check(key: str):
    good = {"health_host": "h", "health_headers": "A: b", "health_timeout_secs": "1"}[key]
    with pytest.raises(BadSetting, match=f"^{key}=.*: needs health=/path beside it"):
        Settings.parsed({key: good})


def test_every_key_is_taken():
    assert Settings.parsed(
        {
            "max_surge": " 2 ",
            "recycle": "no",
            "recycle_grace_secs": "60",
            "max_worker_lifetime_secs": "86400.5",
            "max_worker_rss_mib": "512",
            "max_unavailable": "25%",
            "ready_timeout_secs": "90",
            "min_ready_secs": "0",
            "drain_timeout_secs": "0.5",
            "health": "/_status?x=1",
            "health_host": "www.example.org",
            "health_headers": "\n  X-Forwarded-Proto: https\n\n  A:",
            "health_timeout_secs": "2.5",
            "canary": "10%",
            "preflight": "yes",
            "on_failure": "ln -sfn 'a b' c",
            "on_failure_timeout_secs": "5",
            "release": "/srv/current",
            "strategy": "arbiter",
            "auto": "On",
            "settle_secs": "0",
            "watch": " /srv/current\n  /etc/app.toml\t/srv/touch ",
        }
    ) == Settings(
        max_surge=Amount(2),
        max_unavailable=Amount(25, percent=True),
        ready_timeout_secs=90.0,
        min_ready_secs=0.0,
        drain_timeout_secs=0.5,
        health=Health(
            "/_status?x=1", "www.example.org", (("X-Forwarded-Proto", "https"), ("A", "")), 2.5
        ),
        canary=Amount(10, percent=True),
        preflight=True,
        on_failure="ln -sfn 'a b' c",
        on_failure_timeout_secs=5.0,
        release="/srv/current",
        strategy="arbiter",
        auto=True,
        settle_secs=0.0,
        watch=("/srv/current", "/etc/app.toml", "/srv/touch"),
        recycle=False,
        recycle_grace_secs=60.0,
        max_worker_lifetime_secs=86400.5,
        max_worker_rss_mib=512,
    )


def test_an_empty_watch_is_none():
    assert Settings.parsed({"watch": " "}).watch == ()


@pytest.mark.parametrize("value", ["", "0", "65", "1000", "-1", "1.0", "\u0662", "x" * 500])
def test_how_many_programs_are_rolled_at_once_is_1_to_64(value: str):
    assert [parsed_parallel(str(one)) for one in (1, 8, 64)] == [1, 8, 64]
    with pytest.raises(
        BadSetting, match=r"^parallel=.{0,80}: must be a whole number from 1 to 64$"
    ):
        parsed_parallel(value)


def test_it_is_known_whether_an_operator_chose_the_surge():
    assert not Settings.parsed({"max_unavailable": "1"}).surge_given
    given = Settings.parsed({"max_surge": "25%"})
    assert given.surge_given and given.replaced({"canary": "1"}).surge_given
    assert given == Settings()  # which says nothing of what is set


def test_values_go_over_what_was_set_before_and_leave_the_rest():
    before = Settings.parsed({"health": "/_status", "health_host": "h", "max_surge": "2"})
    after = before.replaced({"health_timeout_secs": "1", "min_ready_secs": "3"})
    assert after.health == Health("/_status", "h", (), 1.0)
    assert (after.max_surge, after.min_ready_secs) == (Amount(2), 3.0)
    assert before.replaced({}) == before


def test_an_empty_health_is_no_check():
    assert Settings.parsed({"health": "/_status"}).replaced({"health": ""}).health is None
    assert Settings.parsed({"health": "", "health_host": "h"}).health is None


@pytest.mark.parametrize(
    ("surge", "unavailable", "desired", "budget"),
    [
        ("1", "0", 4, Budget(1, 0)),
        ("25%", "25%", 4, Budget(1, 1)),
        ("25%", "25%", 5, Budget(2, 1)),
        ("1%", "99%", 1, Budget(1, 0)),
        ("0", "10%", 5, Budget(0, 1)),
        ("0%", "1%", 3, Budget(0, 1)),
        ("100%", "100%", 3, Budget(3, 3)),
        ("0", "7", 3, Budget(0, 3)),
        ("29%", "0", 100, Budget(29, 0)),
        ("0", "57%", 100, Budget(0, 57)),
    ],
)
def test_a_budget_is_counts_rounded_as_in_kubernetes(
    surge: str, unavailable: str, desired: int, budget: Budget
):
    settings = Settings.parsed({"max_surge": surge, "max_unavailable": unavailable})
    assert settings.budget(desired) == budget


@pytest.mark.parametrize("text", ["0", "3", "25%", "100%"])
def test_an_amount_is_written_as_it_is_read(text: str):
    assert str(Settings.parsed({"max_surge": text, "max_unavailable": "1"}).max_surge) == text


def test_a_request_sets_what_it_may():
    asked = Settings.parsed({"on_failure": "id"}).asked({"max_surge": "2", "preflight": "true"})
    assert (asked.max_surge, asked.preflight, asked.on_failure) == (Amount(2), True, "id")


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"on_failure": "rm"}, "a request cannot set it"),
        ({"max_surge": "1" * 81}, "must be 80 characters at most"),
        ({"max_surge": "x"}, COUNT),
    ],
)
def test_a_request_sets_no_command_and_nothing_that_breaks_a_rule(values: dict[str, str], why: str):
    with pytest.raises(BadSetting, match=re.escape(why)):
        Settings().asked(values)


@pytest.mark.parametrize("alone", [{"haproxy_socket": "/h.sock"}, {"haproxy_server": "web/s1"}])
def test_what_haproxy_is_told_needs_both_settings(alone: dict[str, str]):
    with pytest.raises(BadSetting, match="haproxy_socket and haproxy_server go together"):
        Settings.parsed(alone)
    both = {"haproxy_socket": "/h.sock", "haproxy_server": "web/s1"}
    assert Settings.parsed(both).haproxy_server == "web/s1"
    assert Settings.parsed({**both, "haproxy_socket": "[::1]:9999"}).haproxy_socket == "[::1]:9999"


def test_the_page_of_the_hooks_is_not_the_one_that_the_application_is_asked_for():
    with pytest.raises(BadSetting, match="must not be the path of health"):
        Settings.parsed({"health": "/_status", "status_path": "/_status"})
    assert Settings.parsed({"health": "/_health", "status_path": "/_status"}).status_path


def test_an_address_is_of_either_family():
    assert Settings.parsed({"agent_listen": "0.0.0.0:9101"}).agent_listen == ("0.0.0.0", 9101)
    assert Settings.parsed({"agent_listen": "[::1]:9101"}).agent_listen == ("::1", 9101)
    assert Settings.parsed({"agent_listen": ""}).agent_listen is None
