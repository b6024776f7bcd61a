"""The script for a machine with a GPU, run from end to end on the CPU in its stead."""

import json
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("run.sh")


@pytest.mark.slow
def test_its_cpu_part_runs_from_end_to_end(tmp_path):
    words = [SCRIPT, "--device", "cpu", "--out", tmp_path / "report"]
    done = subprocess.run(words, capture_output=True, text=True)
    logs = "".join(path.read_text()[-2000:] for path in sorted((tmp_path / "report").glob("*.log")))
    assert done.returncode == 0, done.stdout + done.stderr + logs
    assert [line.split(": ")[1] for line in done.stdout.splitlines()] == ["tests", "measure", "pretrain"]
    assert " passed" in (tmp_path / "report/tests.log").read_text()
    report = json.loads((tmp_path / "report/measured.json").read_text())
    assert report["device"].startswith("the CPU") and len(report["rows"]) == 15
    for row in report["rows"]:
        assert not row["error"] and row["value"] > 0, row
    (epoch,) = map(json.loads, (tmp_path / "report/encoder/metrics.jsonl").read_text().splitlines())
    assert epoch["epoch"] == 1 and (tmp_path / "report/encoder/encoder.safetensors").stat().st_size > 1e4


@pytest.mark.parametrize(
    ("words", "said"), [(["--fast"], "unknown option --fast"), (["--out"], "--out needs a value")]
)
def test_a_wrong_call_is_one_line(words, said, tmp_path):
    done = subprocess.run([SCRIPT, *words], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1 and said in done.stderr and not list(tmp_path.iterdir())
