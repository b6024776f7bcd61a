"""The rooms of the package import downwards only, without circles: setup.cfg has the contracts."""

from pathlib import Path

import pytest
from importlinter import cli

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("contract", ["rooms", "circles"])
def test_the_contract_holds(contract, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    failed = cli.lint_imports("setup.cfg", limit_to_contracts=(contract,), no_cache=True, no_logo=True)
    assert not failed, capsys.readouterr().out
