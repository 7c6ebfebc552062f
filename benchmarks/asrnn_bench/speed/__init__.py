"""Time recurrences and their peers side by side on one machine: ``asrnn-bench speed``.

- ``plan`` defines what is measured, ``session`` measures it, and ``process`` starts the processes that do.
- ``child`` is such a process; it imports torch, and so does ``training_step``, which only ``child`` imports.
- ``rows`` and ``growth`` compute the tables, ``tables`` and ``plot`` show them.
- ``roofline`` and ``floor`` count the operations and bytes that a step needs at least.
"""
