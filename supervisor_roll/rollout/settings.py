"""What an operator may set for a rollout, parsed once into a frozen value."""

from __future__ import annotations

import dataclasses
import math
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.words import ARBITER, MAX_PARALLEL, WORKERS

AUTO = "auto"
STRATEGIES = (AUTO, WORKERS, ARBITER)


@dataclass(frozen=True)
class Amount:
    """A count of instances, or a percentage of the desired number of them."""

    number: int
    percent: bool = False

    def __str__(self) -> str:
        return f"{self.number}%" if self.percent else str(self.number)

    def of(self, desired: int, round_up: bool) -> int:
        """Return the count that this amount means for ``desired`` instances."""
        if not self.percent:
            return self.number
        share = desired * self.number / 100
        return math.ceil(share) if round_up else math.floor(share)


@dataclass(frozen=True)
class Health:
    """The request that a worker makes to its own application before it says ready."""

    path: str
    host: str = "localhost"
    headers: tuple[tuple[str, str], ...] = ()
    timeout_secs: float = 5.0


@dataclass(frozen=True)
class Budget:
    """``max_surge`` and ``max_unavailable`` as counts, for one desired number of instances."""

    surge: int
    unavailable: int


@dataclass(frozen=True)
class Settings:
    """One program's rollout settings; ``setting_help`` tells what each means.

    ``preflight`` is off by default, since with a surge the first fresh worker is as good a proof,
    and without one the time and the memory of one more boot are what the operator is short of.
    ``surge_given``: an operator has set ``max_surge``.
    """

    max_surge: Amount = Amount(25, percent=True)
    max_unavailable: Amount = Amount(0)
    ready_timeout_secs: float = 60.0
    min_ready_secs: float = 0.0
    max_error_rate_increase: Amount | None = Amount(5, percent=True)
    drain_timeout_secs: float = 60.0
    health: Health | None = None
    canary: Amount | None = None
    preflight: bool = False
    on_failure: str = ""
    on_failure_timeout_secs: float = 60.0
    release: str = ""
    strategy: str = AUTO
    surge_given: bool = field(default=False, compare=False)
    auto: bool = False
    settle_secs: float = 2.0
    watch: tuple[str, ...] = ()
    recycle: bool = True
    recycle_grace_secs: float = 300.0
    max_worker_lifetime_secs: float | None = None
    max_worker_rss_mib: int | None = None
    agent_listen: tuple[str, int] | None = None
    status_path: str = ""
    haproxy_socket: str = ""
    haproxy_server: str = ""
    rolldrain_secs: float = 20.0

    def __post_init__(self) -> None:
        if self.max_surge.number == 0 and self.max_unavailable.number == 0:
            raise BadSetting(
                "max_unavailable",
                self.max_unavailable,
                "max_surge and max_unavailable must not both be 0: nothing could move",
            )

        if bool(self.haproxy_socket) != bool(self.haproxy_server):
            key = "haproxy_server" if self.haproxy_server else "haproxy_socket"
            raise BadSetting(
                key, getattr(self, key), "haproxy_socket and haproxy_server go together"
            )
        if self.health is not None and self.health.path == self.status_path:
            raise BadSetting(
                "status_path",
                self.status_path,
                "must not be the path of health, which the application is to answer",
            )

    def budget(self, desired: int) -> Budget:
        """Return the counts allowed for ``desired`` instances.

        Kubernetes' rounding: a percentage of surge rounds up, one of unavailability rounds
        down, and where both come to 0 one instance may be unavailable
        (kubernetes/pkg/controller/deployment/util, ResolveFenceposts).
        """
        surge = self.max_surge.of(desired, round_up=True)
        unavailable = min(self.max_unavailable.of(desired, round_up=False), desired)
        if surge == 0 and unavailable == 0:
            unavailable = 1
        return Budget(surge, unavailable)

    def replaced(self, values: Mapping[str, str]) -> Settings:
        """Put ``values`` in, as a configuration or a command line has them.

        Raises BadSetting for an unknown key or a value that breaks its rule.
        """
        changes: dict[str, object] = {}
        health: dict[str, object] = {}
        for key, value in values.items():
            rule = _RULES.get(key)
            if rule is None:
                raise BadSetting(key, value, f"unknown key; known are {', '.join(sorted(_RULES))}")
            target = health if key.startswith("health") else changes
            target[rule.attribute] = rule.parse(key, value.strip())
        if "max_surge" in values:
            changes["surge_given"] = True
        if health and "path" not in health and self.health is None:
            raise BadSetting(
                next(k for k in values if k.startswith("health")),
                "",
                "needs health=/path beside it",
            )
        if "path" in health and not health["path"]:
            changes["health"] = None
        elif health:
            before = self.health or Health(path="")
            changes["health"] = dataclasses.replace(before, **health)  # type: ignore[arg-type]
        return dataclasses.replace(self, **changes)  # type: ignore[arg-type]

    def for_recycling(self) -> Settings:
        """Return what holds where only workers past a limit are replaced.

        Never in place, so that never fewer are ready; and a replacement that fails is no reason to
        put another release back.
        """
        surge = self.max_surge if self.surge_given and self.max_surge.number else Amount(1)
        return dataclasses.replace(
            self,
            strategy=WORKERS,
            max_surge=surge,
            max_unavailable=Amount(0),
            canary=None,
            preflight=False,
            on_failure="",
        )

    def asked(self, values: Mapping[str, str]) -> Settings:
        """Return these settings with the ``values`` of a request. Raises BadSetting.

        Whoever may ask supervisord for something may ask for that: so only what ASKABLE names.
        """
        check_asked(values)
        return self.replaced(values)

    @classmethod
    def parsed(cls, values: Mapping[str, str]) -> Settings:
        """Return the settings that ``values`` give over the defaults. Raises BadSetting."""
        return cls().replaced(values)


@dataclass(frozen=True)
class _Rule:
    """``asked``: a request may set it. Never so a command, a path, or a request that is made."""

    attribute: str
    parse: Callable[[str, str], object] = field(compare=False)
    asked: bool = False


def _amount(key: str, value: str) -> Amount:
    match = re.fullmatch(r"(\d{1,6})(%?)", value)
    if match is None:
        raise BadSetting(key, value, "must be a count such as 1, or a percentage such as 25%")
    return Amount(int(match[1]), match[2] == "%")


def _canary(key: str, value: str) -> Amount | None:
    if not value:
        return None
    amount = _amount(key, value)
    if amount.number == 0:
        raise BadSetting(key, value, "must be at least 1")
    return amount


def _increase(key: str, value: str) -> Amount | None:
    if value and not re.fullmatch(r"(\d\d?|100)%", value):
        raise BadSetting(key, value, "must be a percentage such as 5%, or empty for no comparison")
    return Amount(int(value[:-1]), percent=True) if value else None


def _flag(key: str, value: str) -> bool:
    # supervisor's own words (supervisor.datatypes)
    word = value.lower()
    if word not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise BadSetting(key, value, "must be true or false")
    return word in ("true", "yes", "on", "1")


def _strategy(key: str, value: str) -> str:
    if value not in STRATEGIES:
        raise BadSetting(key, value, f"must be one of {', '.join(STRATEGIES)}")
    return value


def _paths(key: str, value: str) -> tuple[str, ...]:
    paths = tuple(value.split())
    for path in paths:
        if not path.startswith("/"):
            raise BadSetting(
                key,
                path,
                "must be absolute paths, separated by spaces; %(here)s is the folder of the file",
            )
    return paths


def _command(key: str, value: str) -> str:
    try:
        shlex.split(value)
    except ValueError as error:
        raise BadSetting(key, value, f"must be a command line: {error}") from None
    return value


def _secs(key: str, value: str) -> float:
    try:
        secs = float(value)
    except ValueError:
        secs = math.nan
    if not 0 <= secs <= 86400:
        raise BadSetting(key, value, "must be a number of seconds from 0 to 86400")
    return secs


def _some_secs(key: str, value: str) -> float:
    secs = _secs(key, value)
    if secs == 0:
        raise BadSetting(key, value, "must be more than 0 seconds")
    return secs


def _lifetime(key: str, value: str) -> float | None:
    if value and not (re.fullmatch(r"\d{1,8}(\.\d+)?", value) and float(value) >= 1):
        raise BadSetting(key, value, "must be a number of seconds from 1 on, or empty for no limit")
    return float(value) if value else None


def _mib(key: str, value: str) -> int | None:
    if value and not (re.fullmatch(r"\d{1,7}", value) and int(value)):
        raise BadSetting(key, value, "must be a whole number of MiB from 1 on, or empty for none")
    return int(value) if value else None


def _path(key: str, value: str) -> str:
    if value and not re.fullmatch(r"/[!-~]*", value):
        raise BadSetting(key, value, "must be a path such as /_status, or empty for no check")
    return value


def _status_path(key: str, value: str) -> str:
    if value and not re.fullmatch(r"/[!->@-~]{0,199}", value):
        raise BadSetting(key, value, "must be a path such as /_status, or empty for none")
    return value


def _host(key: str, value: str) -> str:
    if not re.fullmatch(r"[!-~]+", value):
        raise BadSetting(key, value, "must be a host name such as www.example.org")
    return value


def _headers(key: str, value: str) -> tuple[tuple[str, str], ...]:
    headers = []
    for line in filter(None, (line.strip() for line in value.splitlines())):
        match = re.fullmatch(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\x20-\x7e]*)", line)
        if match is None:
            raise BadSetting(key, line, "must be lines such as X-Forwarded-Proto: https")
        headers.append((match[1], match[2]))
    return tuple(headers)


def _address(key: str, value: str) -> tuple[str, int] | None:
    match = re.fullmatch(r"(?:([0-9.]+)|\[([0-9A-Fa-f:.]+)\]):([0-9]{1,5})", value)
    if value and (match is None or not 0 < int(match[3]) < 65536):
        raise BadSetting(key, value, "must be an address such as 127.0.0.1:9101 or [::1]:9101")
    return (match[1] or match[2], int(match[3])) if match else None


def _haproxy_socket(key: str, value: str) -> str:
    if value and not value.startswith("/"):
        _address(key, value)
    return value


def _haproxy_server(key: str, value: str) -> str:
    if value and not re.fullmatch(r"[A-Za-z0-9_.:-]+/[A-Za-z0-9_.:-]+", value):
        raise BadSetting(key, value, "must be BACKEND/SERVER, as HAProxy's configuration has them")
    return value


_RULES = {
    "max_surge": _Rule("max_surge", _amount, asked=True),
    "max_unavailable": _Rule("max_unavailable", _amount, asked=True),
    "ready_timeout_secs": _Rule("ready_timeout_secs", _some_secs, asked=True),
    "min_ready_secs": _Rule("min_ready_secs", _secs, asked=True),
    "max_error_rate_increase": _Rule("max_error_rate_increase", _increase),
    "drain_timeout_secs": _Rule("drain_timeout_secs", _some_secs),
    "canary": _Rule("canary", _canary, asked=True),
    "preflight": _Rule("preflight", _flag, asked=True),
    "on_failure": _Rule("on_failure", _command),
    "on_failure_timeout_secs": _Rule("on_failure_timeout_secs", _some_secs),
    "release": _Rule("release", _command),
    "strategy": _Rule("strategy", _strategy, asked=True),
    "auto": _Rule("auto", _flag),
    "settle_secs": _Rule("settle_secs", _secs),
    "watch": _Rule("watch", _paths),
    "recycle": _Rule("recycle", _flag),
    "recycle_grace_secs": _Rule("recycle_grace_secs", _some_secs),
    "max_worker_lifetime_secs": _Rule("max_worker_lifetime_secs", _lifetime),
    "max_worker_rss_mib": _Rule("max_worker_rss_mib", _mib),
    "agent_listen": _Rule("agent_listen", _address),
    "status_path": _Rule("status_path", _status_path),
    "haproxy_socket": _Rule("haproxy_socket", _haproxy_socket),
    "haproxy_server": _Rule("haproxy_server", _haproxy_server),
    "rolldrain_secs": _Rule("rolldrain_secs", _secs),
    "health": _Rule("path", _path),
    "health_host": _Rule("host", _host),
    "health_headers": _Rule("headers", _headers),
    "health_timeout_secs": _Rule("timeout_secs", _some_secs),
}

# What a request may set: the command line has an option for each.
ASKABLE = frozenset(key for key, rule in _RULES.items() if rule.asked)
# No value of these takes more.
_MOST_ASKED = 80


def parsed_parallel(value: str) -> int:
    """Return how many programs are rolled at once. Raises BadSetting."""
    if not re.fullmatch(r"[0-9]{1,3}", value) or not 1 <= int(value) <= MAX_PARALLEL:
        rule = f"must be a whole number from 1 to {MAX_PARALLEL}"
        raise BadSetting("parallel", value[:_MOST_ASKED], rule)
    return int(value)


def check_asked(values: Mapping[str, str]) -> None:
    """Raise BadSetting where a request may not set a key, or its value breaks the key's rule."""
    for key, value in values.items():
        if key not in ASKABLE:
            raise BadSetting(
                key[:_MOST_ASKED],
                "",
                "a request cannot set it, only a [roll:NAME] section of the configuration can; "
                f"a request may set {', '.join(sorted(ASKABLE))}",
            )
        if len(value) > _MOST_ASKED:
            raise BadSetting(
                key, f"{value[:_MOST_ASKED]}...", f"must be {_MOST_ASKED} characters at most"
            )
        _RULES[key].parse(key, value.strip())
