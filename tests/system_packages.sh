#!/bin/sh
# Installs what the browser, network and operations tests need and PyPI does not have. Debian and its relatives.
set -eu

missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v redis-cli >/dev/null 2>&1 || missing="$missing redis-tools"
command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
if [ -z "$missing" ]; then
  exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests also need these system packages, which only root can install:$missing" >&2
  echo "Install them (Debian: sudo apt-get install$missing), or go on: the tests that need them say so." >&2
  exit 0
fi
echo "--> system packages:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to be split into words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
