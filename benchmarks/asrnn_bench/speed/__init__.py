"""How fast recurrences are, side by side on one machine: ``asrnn-bench speed``.

``plan`` says what is timed, ``session`` does it, ``child`` is the process that has torch, ``rows`` and ``growth`` make
the tables, ``plot`` the picture. ``overhead`` measures what a job costs beside its recurrence. Nothing here imports
torch but what runs in a process of its own: ``child`` with ``training_step`` and ``memory``, and ``turns``.
"""
