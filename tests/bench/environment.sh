#!/bin/sh
# Makes .bench-venv, where LiteLLM (the newest release) and py-spy live apart from the service's own packages.
set -eu
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
echo "--> LiteLLM in .bench-venv, an environment of its own (a minute or two)"
test -x .bench-venv/bin/python || "$python" -m venv .bench-venv
.bench-venv/bin/python -m pip install --quiet uv
# LiteLLM pins these two to the day of its release; an index that lags behind would yield an older LiteLLM.
# The benchmark uses neither: the first are certificates, the second the migrations of a database.
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
printf 'certifi\nlitellm-proxy-extras\n' >"$overrides"
VIRTUAL_ENV=.bench-venv .bench-venv/bin/uv pip install --quiet --upgrade --override "$overrides" 'litellm[proxy]' py-spy
touch .bench-venv/.installed
