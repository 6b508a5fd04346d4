"""Replace a Gunicorn program's workers under supervisord while it keeps serving.

A folder is a process: ``rollout`` is the pure ground, ``wire`` the codecs of what
crosses between processes, and ``hooks`` (Gunicorn), ``listener`` (an event listener),
``rpc`` (supervisord) and ``ctl`` (supervisorctl) are the four hosts that our code
runs in. The ground imports nothing of ours, and no host imports another.
"""

__version__ = "0.1.0"
