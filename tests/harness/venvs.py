"""Other versions of Gunicorn and supervisor, each in a virtual environment inside the checkout."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".cache"


# What the worker classes of each Gunicorn need, as far as they are tested.
_CLASSES = ("gevent", "packaging", "tornado", "uvicorn")
PACKAGES = {
    "20.1.0": _CLASSES,
    "23.0.0": (*_CLASSES, "uvicorn-worker"),
    "25.3.0": ("gevent", "packaging"),
    "26.2.0": (),
    "27.0.1": (*_CLASSES, "uvicorn-worker", "websockets"),
}


def gunicorn_venv(version: str) -> Path:
    """The ``gunicorn`` of exactly ``version``, installed on first use; it can import our hooks, and
    what its worker classes need, in versions that pip finds for that Gunicorn."""
    # Up to 20.1 Gunicorn imports pkg_resources, which setuptools had until 80;
    # from 80.9 on it warns.
    # In one command, or uvicorn-worker would get itself another Gunicorn.
    installed = [f"gunicorn=={version}", "setuptools<80.9", *PACKAGES.get(version, ())]
    return _venv(f"gunicorn-{version}", installed) / "gunicorn"


def supervisor_venv(version: str) -> Path:
    """The ``bin`` folder of exactly ``version``, with what our parts need beside it."""
    installed = [f"supervisor=={version}", "setuptools<80.9", "psutil"]
    return _venv(f"supervisor-{version}", installed)


def packages_venv(*packages: str) -> Path:
    """The ``bin`` folder of an environment with these, as pip finds them. RuntimeError if it cannot
    install one of them."""
    return _venv("-".join(packages), list(packages))


def _venv(name: str, packages: list[str]) -> Path:
    folder = CACHE / f"{name}-py{sys.version_info[0]}{sys.version_info[1]}"
    done = folder / "done"
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Its paths are absolute: another place, another environment.
        what = f"{CHECKOUT} {' '.join(packages)}"
        if not done.exists() or done.read_text() != what:
            _run(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
            pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"))
            # An index that falls silent is asked again, long before a test may not take longer.
            patience = ("--timeout", "30", "--retries", "8")
            _run(*pip, "install", "--quiet", "--disable-pip-version-check", *patience, *packages)
            (packages_folder,) = folder.glob("lib/python3*/site-packages")
            (packages_folder / "checkout.pth").write_text(f"{CHECKOUT}\n")
            done.write_text(what)
    return folder / "bin"


def _run(*command: str) -> None:
    ran = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(command)} exited {ran.returncode}:\n{ran.stdout}")
