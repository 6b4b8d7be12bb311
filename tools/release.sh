#!/usr/bin/env bash
# Build a release into dist/, and check it as a stranger would: tools/release.sh
# The wheel has the bundle of modules of the Python that builds it; others do without. Uploads nothing. Needs the release group: pip install --group release
set -euo pipefail
cd "$(dirname "$0")/.."

version=$(python3 -c 'import tomllib; print(tomllib.load(open("pyproject.toml", "rb"))["project"]["version"])')
grep -q "^## \[$version\]" CHANGELOG.md || echo "note: CHANGELOG.md has no section for $version yet" >&2
grep -q "^__version__ = \"$version\"" xlpy/__init__.py || { echo "error: xlpy/__init__.py is of another version" >&2; exit 1; }

rm -rf dist
python3 -m build --outdir dist .
python3 -m twine check --strict dist/*

for file in dist/*; do
  folder=$(mktemp -d)
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/pip" install -q --disable-pip-version-check "$file"
  # from elsewhere, so that nothing of the sources is found by chance
  (cd "$folder" && export PATH=$PATH:/usr/sbin:/sbin && venv/bin/xlpy --version && XLPY_ROOT=$folder/host venv/bin/xlpy -q host init >/dev/null \
    && XLPY_ROOT=$folder/host venv/bin/xlpy pmem list >/dev/null) \
    || { echo "error: $file does not work in an empty environment" >&2; exit 1; }
  rm -rf "$folder"
  echo "$file: works in an empty environment"
done
