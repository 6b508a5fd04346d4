"""How Sphinx builds these pages: scripts/docs. They are read on the forge too, as plain files."""

import re

import supervisor_roll

project = "supervisor_roll"
version = release = supervisor_roll.__version__
html_theme = "furo"
html_title = f"supervisor_roll {version}"
html_copy_source = False
html_extra_path = ["../conf.d", "mail_listener.py"]
highlight_language = "none"


def _links(_app: object, _name: str, source: list[str]) -> None:
    """Links to pages and files as they are in the checkout, as links to what is built of them."""
    built = re.sub(r"<\.\./README\.rst>`_", "<index.html>`_", source[0])
    built = re.sub(r"<\.\./conf\.d/([\w.-]+)>`_", r"<\1>`_", built)
    source[0] = re.sub(r"<([\w-]+)\.rst((?:#[\w-]+)?)>`_", r"<\1.html\2>`_", built)


def setup(app: object) -> None:
    app.connect("source-read", _links)
