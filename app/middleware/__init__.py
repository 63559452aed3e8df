"""ASGI middleware, one concern a file; docs/service.md has their order."""
