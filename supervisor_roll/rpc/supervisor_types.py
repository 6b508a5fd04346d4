"""What we touch of supervisord's objects. A test compares it with each supported supervisor."""

from __future__ import annotations

from typing import Any, Protocol


class Options(Protocol):
    """``supervisor.options.ServerOptions``."""

    configfile: str
    here: str
    httpservers: list[tuple[dict[str, Any], HttpServer]]
    logfile: str
    mood: int
    parse_infos: list[str]
    pidfile: str
    process_group_configs: list[GroupConfig]
    server_configs: list[dict[str, Any]]
    serverurl: str | None

    def process_config(self, do_usage: bool = True) -> None: ...


class ProcessConfig(Protocol):
    """``supervisor.options.ProcessConfig``: each key of the section is an attribute."""

    autorestart: Any
    autostart: bool
    command: str
    directory: str | None
    environment: dict[str, str] | None
    exitcodes: list[int]
    killasgroup: bool
    name: str
    options: Options
    redirect_stderr: bool
    serverurl: Any
    startretries: int
    startsecs: int
    stderr_logfile: Any
    stdout_logfile: Any
    stopasgroup: bool
    stopsignal: int
    stopwaitsecs: float
    uid: int | None
    umask: int | None

    def create_autochildlogs(self) -> None: ...

    def make_process(self, group: Group) -> Process: ...


class GroupConfig(Protocol):
    """``supervisor.options.ProcessGroupConfig``, and what is derived of it."""

    name: str
    priority: int
    process_configs: list[ProcessConfig]


class Group(Protocol):
    """``supervisor.process.ProcessGroupBase``."""

    config: GroupConfig
    processes: dict[str, Process]

    def __lt__(self, other: Group) -> bool: ...


class Process(Protocol):
    """``supervisor.process.Subprocess``. Two compare by their priority, so never with == or in."""

    administrative_stop: bool
    config: ProcessConfig
    delay: float
    dispatchers: dict[int, Any]
    group: Group
    pid: int
    spawnerr: str | None

    def __lt__(self, other: Process) -> bool: ...

    def _spawn_as_child(self, filename: str, argv: list[str]) -> None: ...

    def finish(self, pid: int, sts: int) -> None: ...

    def get_execv_args(self) -> tuple[str, list[str]]: ...

    def get_state(self) -> int: ...

    def signal(self, sig: int) -> str | None: ...

    def spawn(self) -> int | None: ...

    def stop(self) -> str | None: ...


class OutputDispatcher(Protocol):
    """``supervisor.dispatchers.POutputDispatcher``."""

    channel: str
    childlog: Logger | None
    normallog: Logger | None
    output_buffer: bytes

    def record_output(self) -> None: ...


class Logger(Protocol):
    """``supervisor.loggers.Logger``."""

    handlers: list[Handler]

    def close(self) -> None: ...


class Handler(Protocol):
    """``supervisor.loggers.Handler``, of a file or of syslog."""

    def reopen(self) -> None: ...

    def setFormat(self, fmt: str) -> None: ...


class Supervisor(Protocol):
    """``supervisor.supervisord.Supervisor``."""

    options: Options
    process_groups: dict[str, Group]

    def reap(self, once: bool = False, recursionguard: int = 0) -> None: ...


class HttpServer(Protocol):
    """``supervisor.http.supervisor_http_server``."""

    def install_handler(self, handler: Any, back: int = 0) -> None: ...


class HttpChannel(Protocol):
    """``supervisor.http.deferring_http_channel``: a client's connection."""

    ac_out_buffer_size: int
    addr: Any
    socket: Any

    def close_when_done(self) -> None: ...

    def set_terminator(self, term: bytes | int | None) -> None: ...


class HttpRequest(Protocol):
    """``supervisor.http.deferring_http_request``. Behind a password it has ``auth_info``, too."""

    channel: HttpChannel
    collector: Any
    command: str
    reply_code: int
    uri: str

    def __setitem__(self, key: str, value: object) -> None: ...

    def done(self, *arg: Any, **kw: Any) -> None: ...

    def error(self, code: int) -> None: ...

    def get_header(self, header: str) -> str | None: ...

    def push(self, thing: Any) -> None: ...

    def split_uri(self) -> tuple[str, str | None, str | None, str | None]: ...
