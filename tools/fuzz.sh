#!/usr/bin/env bash
# Fuzzes what walks memory that others write: `fuzz.sh [SECONDS [TARGET...]]`, 20 seconds each of ring_scan and perf_scan
# unless told. Fails when one finds something, and says where the input is. Stable Rust is enough.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:-20}
targets=("${@:2}")
[[ ${#targets[@]} -gt 0 ]] || targets=(ring_scan perf_scan)
python=${PYO3_PYTHON:-$PWD/.venv/bin/python}
host=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-target}/fuzz

# The address sanitizer, and what tells libFuzzer where an input went, are compiled into our own crates only: what we build
# on would take many minutes. Memory that it allocates has its red zones all the same.
asan="'-Zsanitizer=address'"
sancov="'-Cpasses=sancov-module','-Cllvm-args=-sanitizer-coverage-level=4','-Cllvm-args=-sanitizer-coverage-pc-table'"
sancov+=",'-Cllvm-args=-sanitizer-coverage-inline-8bit-counters','-Cllvm-args=-sanitizer-coverage-trace-compares'"
sancov+=",'-Ccodegen-units=1'"
RUSTC_BOOTSTRAP=1 RUSTFLAGS='--cfg fuzzing' PYO3_PYTHON=$python CARGO_TARGET_DIR=$out \
    cargo build --quiet --locked --package fastbpf-fuzz --target "$host" -Zprofile-rustflags \
    --config 'profile.dev.debug="line-tables-only"' --config 'profile.dev.package.fastbpf.opt-level=3' \
    --config "profile.dev.package.fastbpf.rustflags=[$asan,$sancov]" \
    --config "profile.dev.package.fastbpf-fuzz.rustflags=[$asan]"

"$python" tools/fuzz_seeds.py "$out/seeds"
# The crate's bindings link to Python, whose shared library may stand where the loader does not look.
LD_LIBRARY_PATH=$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("LIBDIR"))')
export LD_LIBRARY_PATH
for target in "${targets[@]}"; do
    mkdir -p "$out/corpus/$target" "$out/found/$target"
    log=$out/$target.log
    if ! "$out/$host/debug/$target" -max_total_time="$seconds" -max_len=16384 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$out/found/$target/" "$out/corpus/$target" "$out/seeds/$target" 2>"$log"; then
        tail -40 "$log" >&2
        exit 1
    fi
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    echo "$target: $runs inputs in $seconds s, nothing found"
done
