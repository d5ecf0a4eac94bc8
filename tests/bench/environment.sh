#!/bin/sh
# Makes .bench-venv, where LiteLLM (the newest release), py-spy and matplotlib live apart from the service's packages.
set -eu
cd "$(dirname "$0")/../.."

python=${PYTHON:-python3}
echo "--> LiteLLM, py-spy and matplotlib in .bench-venv (a minute or two)"
test -x .bench-venv/bin/python || "$python" -m venv .bench-venv
.bench-venv/bin/python -m pip install --quiet uv
# LiteLLM pins these two to the day of its release; an index that lags behind would yield an older LiteLLM.
# The benchmark uses neither: the first are certificates, the second the migrations of a database.
overrides=$(mktemp)
trap 'rm -f "$overrides"' EXIT
printf 'certifi\nlitellm-proxy-extras\n' >"$overrides"
VIRTUAL_ENV=.bench-venv .bench-venv/bin/uv pip install --quiet --upgrade --override "$overrides" 'litellm[proxy]' py-spy \
  'matplotlib>=3.11,<4'
touch .bench-venv/.installed
