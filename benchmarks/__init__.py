"""neuralbits beside its baselines: trained and measured on the same splits, in the same run.

``python -m benchmarks`` (or ``make bench``) makes a ``plan``, runs its ``trainings``, lets
``measure`` question every system (``answering`` is its side of that), turns the answers into
``figures``, holds them against the ``reaches``, and writes the ``tables``.
"""
