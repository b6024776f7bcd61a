"""What `pip install` brings: a wheel that judges without the recipes' packages, and says what they lack."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

from masd.errors import EXTRAS

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")


def requirements():
    """Return {extra, or "" for the base: names of distributions} of setup.cfg."""
    config = ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    found = {"": config["options"]["install_requires"], **config["options.extras_require"]}
    return {extra: set(re.findall(r"^([a-z][\w-]*)", text, re.M)) for extra, text in found.items()}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from the files that the Dockerfile copies."""
    root = tmp_path_factory.mktemp("package")
    for name in re.findall(r"^COPY (.+) /src", DOCKERFILE, re.M):
        for path in (ROOT / word for word in name.split()):
            if path.is_dir():
                shutil.copytree(path, root / "src" / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (root / "src").mkdir(exist_ok=True)
                shutil.copy(path, root / "src")
    how = ["--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", root / "dist", root / "src"]
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", *how], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return next((root / "dist").glob("masd-*.whl"))


def test_the_wheel_has_the_model_the_templates_and_every_module(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = {Path(name).name: name for name in names if ".dist-info/" in name}
        points, metadata = (archive.read(about[name]).decode() for name in ("entry_points.txt", "METADATA"))
    assert "masd = masd.__main__:main" in points
    assert {
        "masd/py.typed",
        "masd/pretrained/plus/model.yaml",
        "masd/pretrained/plus/model.safetensors",
    } <= names
    wanted = {str(p.relative_to(ROOT)) for p in ROOT.glob("masd/**/*.py")}
    for data in ("masd/report/templates/*", "masd/serve/page/*"):
        wanted |= {str(p.relative_to(ROOT)) for p in ROOT.glob(data)}
    assert wanted <= names
    assert not any(name.startswith(("tests/", "egs/", "tools/")) for name in names)
    base = re.findall(r"^Requires-Dist: ([\w-]+)[^;\n]*$", metadata, re.M)
    assert {name.lower() for name in base} == requirements()[""]


def test_the_base_is_light_and_what_is_left_out_is_named_with_its_extra():
    found = requirements()
    assert not found[""] & {"torch", "torchaudio", "scikit-learn", "matplotlib", "onnxruntime", "h5py"}
    named = {"sklearn": "scikit-learn", "markdown_it": "markdown-it-py", "pyworld": "pyworld-prebuilt"}
    for extra, modules in EXTRAS.items():
        assert {named.get(module, module) for module in modules} == found[extra]


@pytest.mark.parametrize(
    ("words", "lacks"),
    [
        (["dump_feats", "--data", "d", "--out", "o"], "recipes"),
        (["explain", "x.wav", "--plot", "x.png"], "recipes"),
        (["serve"], "serve"),
        (["pretrain", "--help"], ""),
        (["export_model", "--help"], ""),
        (["serve", "--help"], ""),
    ],
)
def test_a_command_that_lacks_an_extra_says_so_in_one_line(tmp_path, words, lacks):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Lack:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.partition('.')[0] in {set(sum(EXTRAS.values(), ()))!r}:\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Lack())\n"
    )
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    command = [sys.executable, "-m", "masd", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    if not lacks:
        assert done.returncode == 0 and "usage" in done.stdout, done.stderr
        return
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1, done.stderr
    assert f"{words[0]}: error: needs " in done.stderr
    assert f"pip install 'masd[{lacks}]'" in done.stderr


def test_the_tested_versions_are_of_what_is_required():
    lines = (ROOT / "tools" / "constraints.txt").read_text(encoding="utf-8").splitlines()[1:]
    pinned = {re.match(r"([\w.-]+)==[\w.]+$", line)[1].lower().replace("_", "-") for line in lines}
    everything = requirements()
    assert everything[""] | everything["recipes"] | everything["onnx"] <= pinned


@pytest.mark.slow
def test_a_wheel_in_a_fresh_environment_judges_a_file(wheel, tmp_path):
    """By the commands of the Dockerfile, outside the repository; under 400 MB on disk."""
    if subprocess.run(
        [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", tmp_path / "x", "threadpoolctl"],
        capture_output=True,
    ).returncode:
        pytest.skip("no package index at hand")
    assert "pip install --no-cache-dir /src" in DOCKERFILE and 'ENTRYPOINT ["masd"]' in DOCKERFILE
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    install = [venv / "bin" / "python3", "-m", "pip", "install", "--no-cache-dir", "-q", wheel]
    done = subprocess.run(install, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not list(venv.glob("lib/*/site-packages/torch"))
    size = sum(p.lstat().st_size for p in venv.rglob("*") if p.is_file())
    assert size < 400e6, f"{size / 1e6:.0f} MB"
    made = "import numpy, soundfile; t = numpy.arange(48000) / 16000; r = numpy.random.default_rng(0)\n"
    made += "x = (numpy.sin(1500 * t) + r.normal(size=48000)) * (1.01 + numpy.sin(20 * t)) / 12\n"
    made += "soundfile.write('x.wav', x, 16000)"
    subprocess.run([venv / "bin" / "python3", "-c", made], check=True, cwd=tmp_path)
    done = subprocess.run(
        [venv / "bin" / "masd", "detect", "x.wav"],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split()[0] in ("genuine", "fake", "inconclusive")
