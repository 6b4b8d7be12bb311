#!/bin/sh
# Install xlpy into .venv beside this script and run it: sh quickstart.sh [xlpy's arguments]
# Without arguments: create configs/quickstart.cfg. What Debian has and this needs is installed when run as root;
# changed sources are installed anew.
set -eu
cd "$(dirname "$0")"
need=""
python3 -c 'import ensurepip, venv' 2>/dev/null || need="$need python3-venv"
PATH="$PATH:/usr/sbin:/sbin" command -v mke2fs >/dev/null || need="$need e2fsprogs"
if [ -n "$need" ]; then
  sudo=""
  [ "$(id -u)" = 0 ] || sudo=sudo
  # shellcheck disable=SC2086 # a list of words
  $sudo apt-get update -q >/dev/null && $sudo apt-get install -y -q --no-install-recommends $need >/dev/null
fi
[ -x .venv/bin/python ] || python3 -m venv .venv
if [ ! -x .venv/bin/xlpy ] || [ -n "$(find pyproject.toml xlpy -type f ! -name '*.pyc' -newer .venv/bin/xlpy)" ]; then
  .venv/bin/pip install -q --disable-pip-version-check .
fi
[ $# -gt 0 ] || set -- create configs/quickstart.cfg
exec .venv/bin/xlpy "$@"
