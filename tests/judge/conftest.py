import pytest
from light_model import fit_light


@pytest.fixture(scope="session")
def light(tmp_path_factory):
    """The folder of a small model that needs no torch; its recordings are in ../wav."""
    return fit_light(tmp_path_factory.mktemp("light"))
