"""The HTTP service: one artifact, loaded at start, answers ``POST /classify``.

``settings`` are read, ``main`` builds the application with the bodies of ``schemas``, ``requests``
guards what comes in, ``problems`` says what is wrong with it, and ``server`` runs it all.
"""
