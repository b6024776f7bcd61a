# shellcheck shell=bash
# Sourced by run.sh: the environment's Python, this repository's package and helpers.
. ../../utils/find_env.sh
