"""What an installation needs of a Gunicorn program, in words that say what to do."""

from __future__ import annotations

HOOK_LINE = "from supervisor_roll.hooks import install; install(globals())"
# What that line installs.
HOOKS = (
    "on_starting",
    "when_ready",
    "on_exit",
    "on_reload",
    "nworkers_changed",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_abort",
    "worker_exit",
    "child_exit",
)
# Of more events at once supervisord drops the oldest.
LISTENER_BUFFER_SIZE = 100
# What the listener is told of by supervisord.
LISTENER_EVENTS = ("REMOTE_COMMUNICATION", "PROCESS_STATE", "TICK_5")
_SHELL = "write exec before gunicorn in the shell's command"
_USER = "remove {name}, and set user= in the program's section instead"
_ENVIRONMENT = "start the environment's own gunicorn instead of {name}{path}"
_INIT = "remove {name}: supervisord itself passes signals on and reaps what ends"
_CURES = {
    **dict.fromkeys(("sh", "bash", "dash", "ash", "busybox", "zsh", "ksh"), _SHELL),
    **dict.fromkeys(
        ("sudo", "su", "doas", "runuser", "setpriv", "gosu", "su-exec", "setuidgid"), _USER
    ),
    **dict.fromkeys(
        (
            "uv",
            "uvx",
            "poetry",
            "pipenv",
            "pdm",
            "hatch",
            "rye",
            "pixi",
            "conda",
            "mamba",
            "micromamba",
        ),
        _ENVIRONMENT,
    ),
    **dict.fromkeys(("dumb-init", "tini", "docker-init", "catatonit"), _INIT),
}


def wrapper_cure(name: str, gunicorn: str = "") -> str:
    """Return what to do about a command that runs Gunicorn as its child; empty if none is known.

    ``gunicorn`` says which one that is, as it is to be shown.
    """
    return _CURES.get(name, "").format(name=name, path=gunicorn)


def socket_directory(server_files: list[str], pidfile: str) -> str:
    """Return the sockets' directory where none is configured: beside supervisord's own socket."""
    stem = server_files[0].removesuffix(".sock") if server_files else pidfile.removesuffix(".pid")
    return f"{stem}_roll.sock"
