#!/usr/bin/env bash
# A wheel in a fresh virtual environment, on a PATH that holds no Rust. Usage: wheel_smoke.sh WHEEL
set -euo pipefail
wheel=$(realpath "$1")
here=$(realpath "$(dirname "$0")")
python=$("$here/setup.sh" python)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT

"$python" -m venv "$place/venv"
"$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check "$wheel[cli]"
# From an empty folder and with -I, so that nothing but the installed wheel can answer.
cd "$place"
env -i HOME="$place" PATH="$place/venv/bin:/usr/bin:/bin" "$place/venv/bin/python" -I "$here/wheel_smoke.py"
