#!/bin/sh
# Installs what the benchmarks need and PyPI does not have: wrk and nginx, and valgrind for the profile.
# Debian and its relatives.
set -eu

missing=""
command -v wrk >/dev/null 2>&1 || missing="$missing wrk"
PATH="$PATH:/usr/sbin" command -v nginx >/dev/null 2>&1 || missing="$missing nginx-light"
command -v valgrind >/dev/null 2>&1 || missing="$missing valgrind"
if [ -z "$missing" ]; then
  exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The benchmarks need these system packages, which only root can install:$missing" >&2
  echo "Install them and try again (Debian: sudo apt-get install$missing; elsewhere: packages of the same names)." >&2
  exit 1
fi
echo "--> system packages:$missing"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086 # the list is meant to be split into words
apt-get install -y -qq --no-install-recommends $missing >/dev/null
