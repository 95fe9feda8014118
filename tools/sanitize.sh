#!/usr/bin/env bash
# Rust's tests under a sanitizer: `sanitize.sh [address|thread]... [-- TEST...]`, both unless told. Stable Rust is enough.
set -euo pipefail
cd "$(dirname "$0")/.."

kinds=()
while [[ $# -gt 0 && $1 != -- ]]; do
    kinds+=("$1")
    shift
done
[[ ${#kinds[@]} -gt 0 ]] || kinds=(address thread)
python=${PYO3_PYTHON:-$PWD/.venv/bin/python}
host=$(rustc -vV | sed -n 's/^host: //p')

# Compiled into our own crate only: what we build on would take many minutes. The memory that it allocates is looked at all
# the same, and the code that its generic functions and the standard library's bring into ours.
for kind in "${kinds[@]}"; do
    echo "== $kind sanitizer"
    RUSTC_BOOTSTRAP=1 PYO3_PYTHON=$python CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/sanitize \
        LD_LIBRARY_PATH=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))') \
        cargo test --quiet --locked --lib --target "$host" -Zprofile-rustflags --config \
        "profile.dev.package.fastbpf.rustflags=['-Zsanitizer=$kind','-Cunsafe-allow-abi-mismatch=sanitizer']" "$@"
done
