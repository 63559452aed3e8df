"""neuralbits beside its baselines: trained and measured on the same splits, in the same run.

``python -m benchmarks`` (or ``make bench``) makes a ``plan``, runs its ``trainings``, lets
``measure`` question every system (``answering`` is the system's side), turns the answers into
``figures``, compares them with the ``targets``, and writes the ``tables``.
"""
