# shellcheck shell=bash
# Sourced: puts the Python that runs MASD first on PATH, and this repository on PYTHONPATH.
# An active virtual or conda environment is used if it has the requirements; else tools/venv; else one clear line.

MASD_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export MASD_ROOT
_masd_ready() {
  [ -n "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && python3 - 2> /dev/null << 'END'
import sys
from importlib.util import find_spec
needed = "av h5py jinja2 jsonargparse kaldiio markdown_it matplotlib numpy safetensors scipy sentencepiece sklearn soundfile tensorboard torch torchaudio yaml"
sys.exit(any(find_spec(name) is None for name in needed.split()))
END
}
if ! _masd_ready; then
  masd_venv=${MASD_VENV:-$MASD_ROOT/tools/venv}
  case $masd_venv in /*) ;; *) masd_venv=$MASD_ROOT/$masd_venv ;; esac
  if [ ! -x "$masd_venv/bin/python3" ]; then
    echo "no environment: run tools/setup_env.sh, or activate one that has the packages of setup.cfg (masd[recipes])" >&2
    return 1  # not exit: it may have been sourced in somebody's own shell
  fi
  export PATH="$masd_venv/bin:$PATH"
fi
export PYTHONPATH="$MASD_ROOT${PYTHONPATH:+:$PYTHONPATH}"
export PATH="$MASD_ROOT/utils:$PATH"
export LC_ALL=C PYTHONUTF8=1
