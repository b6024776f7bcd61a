"""What all tests of vocoders share."""

import pytest
from vocoder_samples import speech


@pytest.fixture(scope="session")
def voice():
    """A speech-like signal of 1.2 s at 16 kHz."""
    return speech()
