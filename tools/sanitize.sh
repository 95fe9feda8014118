#!/usr/bin/env bash
# Rust's tests under the address sanitizer: `sanitize.sh [TEST...]`. Stable Rust is enough.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYO3_PYTHON:-$PWD/.venv/bin/python}
host=$(rustc -vV | sed -n 's/^host: //p')
LD_LIBRARY_PATH=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
export LD_LIBRARY_PATH

# Compiled into our own crate only: what we build on would take many minutes. The memory that it allocates is looked at all
# the same, and the code that its generic functions and the standard library's bring into ours.
RUSTC_BOOTSTRAP=1 PYO3_PYTHON=$python CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize \
    cargo test --quiet --locked --lib --target "$host" -Zprofile-rustflags --config \
    "profile.dev.package.fastbpf.rustflags=['-Zsanitizer=address','-Cunsafe-allow-abi-mismatch=sanitizer']" "$@"
