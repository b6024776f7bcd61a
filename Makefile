# make mini   set up, then the mini recipe from stage 0 to its results
# make test   set up, then every check: ruff, shellcheck, the test suite
# make lint   the two linters alone
.PHONY: mini test lint env clean
SHELL := /bin/bash

mini:
	@tools/setup_env.sh mini vocoders
	@cd egs/mini && local/run_tracks.sh

test:
	@tools/setup_env.sh all
	@tools/check.sh

lint:
	@tools/setup_env.sh test
	@tools/check.sh --tests false

env:
	@tools/setup_env.sh all

clean:
	rm -rf build .pytest_cache .ruff_cache masd.egg-info
