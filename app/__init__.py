"""The HTTP service: one artifact, loaded at start, answers ``POST /classify``.

docs/architecture.md says what each file is for, and in which order a request meets them.
"""
