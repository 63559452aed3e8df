"""The offline job: from utterances with their intents to an artifact.

One training batch meets ``data``, ``observed_ngrams`` and ``trainers``, ``projection_network`` and
``objective``, in the loop of ``joint``; ``job`` frames it all, from the data to the report.
"""
