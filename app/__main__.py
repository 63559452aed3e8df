"""``python -m neuralbits.app``: serve, with the settings of the environment."""

from .command import serve

serve()
