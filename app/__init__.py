"""The HTTP service: one artifact, loaded at start, answers ``POST /classify``.

``settings`` are read, ``main`` builds the application, and ``server`` runs it. A request meets
``connections``, ``guard``, ``requests``, and what answers it in ``main``, in that order. ``health``
is a program of its own.
"""
