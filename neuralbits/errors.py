"""The one kind of error that a user can mend."""


class NeuralbitsError(ValueError):
    """Bad input of any kind; its text is one sentence: what, where, and how to mend it."""
