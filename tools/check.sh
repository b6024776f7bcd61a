#!/usr/bin/env bash
# Every check of the repository: ruff, shellcheck, and the test suite.
#
# Usage: tools/check.sh [--tests true|false] [pytest arguments]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. utils/find_env.sh

tests=true
if [ "${1:-}" = --tests ]; then
  tests=${2:?--tests takes true or false}
  shift 2
fi

mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
python3 -m ruff check .
python3 -m ruff format --check .
shellcheck --external-sources --source-path=SCRIPTDIR --source-path=SCRIPTDIR/.. "${scripts[@]}"
echo "check.sh: ruff and shellcheck found nothing in $(git ls-files '*.py' | wc -l) Python and ${#scripts[@]} shell files"
[ "$tests" = true ] || exit 0
exec python3 -m pytest -n 2 --dist loadfile "$@"
