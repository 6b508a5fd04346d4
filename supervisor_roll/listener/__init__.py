"""The event listener ``[eventlistener:roll]``: ``python -m supervisor_roll.listener``.

One loop (``__main__``) around one coordinator. What is outside stands in an edge of its own:
the readiness socket, the process table, supervisord, and its configuration files.
"""
