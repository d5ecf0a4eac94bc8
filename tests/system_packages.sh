#!/bin/sh
# Installs what the browser, network and operations tests need and PyPI does not have. Debian and its relatives.
set -eu

missing=""
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v ip >/dev/null 2>&1 || missing="$missing iproute2"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v wget >/dev/null 2>&1 || missing="$missing wget"
command -v redis-cli >/dev/null 2>&1 || missing="$missing redis-tools"
command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
ls /usr/lib/*/faketime/libfaketimeMT.so.1 >/dev/null 2>&1 || missing="$missing libfaketime"
# Of Prometheus, HAProxy and coturn the programs alone: Debian's packages would start a service, too.
programs=""
for program in promtool prometheus; do
  command -v "$program" >/dev/null 2>&1 || programs="$programs $program"
done
if ! PATH="$PATH:/usr/sbin" command -v haproxy >/dev/null 2>&1; then
  programs="$programs haproxy"
  # What the program is linked with, and a small machine lacks.
  missing="$missing liblua5.3-0 libopentracing-c-wrapper0"
fi
if ! command -v turnserver >/dev/null 2>&1; then
  programs="$programs turnserver"
  missing="$missing libevent-core-2.1-7 libevent-extra-2.1-7 libevent-openssl-2.1-7 libevent-pthreads-2.1-7"
  missing="$missing libhiredis0.14 libmariadb3 libpq5 libsqlite3-0 libssl3"
fi
if [ -z "$missing$programs" ]; then
  exit 0
fi

if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null 2>&1; then
  echo "The tests also need these programs, which only root can install:$missing$programs" >&2
  echo "Install them (Debian: sudo make system), or go on: the tests that need them say so." >&2
  exit 0
fi
echo "--> system packages:$missing$programs"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
if [ -n "$missing" ]; then
  # shellcheck disable=SC2086 # the list is meant to be split into words
  apt-get install -y -qq --no-install-recommends $missing >/dev/null
fi
if [ -n "$programs" ]; then
  folder=$(mktemp -d)
  for program in $programs; do
    package=prometheus
    [ "$program" = haproxy ] && package=haproxy
    [ "$program" = turnserver ] && package=coturn
    [ -d "$folder/$package" ] || (
      cd "$folder"
      apt-get download -qq -o APT::Sandbox::User=root "$package"
      dpkg-deb --extract "$package"_*.deb "$package"
    )
    install -m 755 "$folder/$package"/usr/*bin/"$program" "/usr/local/bin/$program"
  done
  rm -rf "$folder"
fi
