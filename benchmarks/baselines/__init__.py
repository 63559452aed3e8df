"""The baselines: each trains and answers in an environment that has no neuralbits in it."""
