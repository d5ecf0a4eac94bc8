#!/bin/sh
# Makes .fuzz-venv: atheris, locked by hash, beside the suite's own packages, which it finds in .venv.
set -eu
cd "$(dirname "$0")/../.."

echo "--> atheris in .fuzz-venv"
test -x .fuzz-venv/bin/python || .venv/bin/python -m venv .fuzz-venv
.fuzz-venv/bin/python -m pip install --quiet --require-hashes --only-binary=:all: -r tests/fuzz/requirements.lock
packages='import sysconfig; print(sysconfig.get_path("purelib"))'
.venv/bin/python -c "$packages" >"$(.fuzz-venv/bin/python -c "$packages")/suite.pth"
touch .fuzz-venv/.installed
