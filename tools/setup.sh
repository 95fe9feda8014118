#!/usr/bin/env bash
# What a machine needs before `make demo`, `test` or `bench`: Debian packages, Rust, tracefs. Root gets what is missing,
# everyone else is told. `setup.sh python` prints the Python to use.
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

find_python() {
    local candidate
    for candidate in python3.11 python3 python3.12 python3.13 python3.14 python3.15; do
        # A shim may be there and refuse to run: ask it, do not only look for it.
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    echo "fastbpf needs Python 3.11 or newer, and there is none on PATH: install python3.11 (Debian 12: python3)" >&2
    return 1
}

# The newest LLVM that root can get, such as "llvm-22": it knows more instructions than what Debian calls "llvm".
find_llvm() {
    local newest=''
    if [[ $EUID == 0 ]] && command -v apt-cache >/dev/null; then
        newest=$(numbered_llvm)
        if [[ -z $newest ]]; then # no lists of packages yet
            apt-get update -qq </dev/null >/dev/null || true
            newest=$(numbered_llvm)
        fi
    fi
    echo "${newest:-llvm}"
}
numbered_llvm() { apt-cache search --names-only '^llvm-[0-9]+$' | cut -d' ' -f1 | sort -V | tail -1; }

# package: the command that shows that it is not missing.
declare -A shown_by=(
    [bpftool]='command -v bpftool'
    [bpftrace]='command -v bpftrace'
    [clang]='command -v clang'
    [gcc]='command -v cc'
    [libbpf-dev]='test -e /usr/include/bpf/libbpf.h'
    [libc6-dev]='test -e /usr/include/stdio.h'
    [libelf-dev]='test -e /usr/include/libelf.h'
    [llvm]='compgen -c llvm-mc && compgen -c llvm-objdump'
    [python3]='find_python'
    [python3-bpfcc]='/usr/bin/python3 -c "import bcc"'
    # To link Rust's tests. Another Python than Debian's brings its own library.
    [python3-dev]='test -e "$("$(find_python)" -c "import sysconfig as s; print(s.get_config_var(\"LIBDIR\"), s.get_config_var(\"LDLIBRARY\"), sep=\"/\")")"'
    [python3-venv]='"$(find_python)" -c "import ensurepip, venv"'
    [zlib1g-dev]='test -e /usr/include/zlib.h'
)
# The headers of the kernel for each architecture that a program's context depends on.
cross=()
for pair in amd64:x86_64 arm64:aarch64 ppc64el:powerpc64le riscv64:riscv64 s390x:s390x; do
    headers=${pair#*:}-linux-gnu
    cross+=("linux-libc-dev-${pair%:*}-cross")
    shown_by[${cross[-1]}]="test -e /usr/include/$headers/asm/ptrace.h || test -e /usr/$headers/include/asm/ptrace.h"
done
llvm=llvm
if [[ ${1:-} == test ]]; then
    llvm=$(find_llvm)
    # "llvm" stands for any
    number=${llvm#llvm}
    [[ -z $number ]] || shown_by[$llvm]="command -v llvm-mc$number && command -v llvm-objdump$number"
fi
needed=(gcc libc6-dev python3 python3-venv)
useful=()
case ${1:-} in
    python) find_python; exit ;;
    demo) ;;
    test) needed+=(python3-dev); useful=(bpftool clang libbpf-dev libelf-dev "$llvm" zlib1g-dev "${cross[@]}") ;;
    bench) useful=(bpftrace clang libbpf-dev libelf-dev llvm python3-bpfcc zlib1g-dev) ;;
    *) echo "usage: $0 python|demo|test|bench" >&2; exit 2 ;;
esac

missing() {
    local package
    for package in "$@"; do
        eval "${shown_by[$package]}" >/dev/null 2>&1 || echo "$package"
    done
}

lacking=$(missing "${needed[@]}" "${useful[@]}" | xargs)
if [[ -n $lacking && $EUID == 0 ]] && command -v apt-get >/dev/null; then
    echo "setup: installing Debian packages: $lacking"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq </dev/null
    # shellcheck disable=SC2086  # one word a package
    apt-get install -y -qq --no-install-recommends $lacking </dev/null >/dev/null
    lacking=$(missing "${needed[@]}" "${useful[@]}" | xargs)
fi
if [[ -n $lacking ]]; then
    echo "setup: missing: $lacking. As root: apt-get install $lacking (other distributions: what has the same files)" >&2
    hard=$(missing "${needed[@]}" | xargs)
    if [[ -n $hard ]]; then
        echo "setup: cannot go on without $hard" >&2
        exit 1
    fi
    echo "setup: going on without; what uses them will say so" >&2
fi

if ! command -v cargo >/dev/null; then
    echo "setup: Rust is missing: see https://rustup.rs" >&2
    exit 1
fi

tracefs=/sys/kernel/tracing
if [[ $EUID == 0 && ! -e $tracefs/events ]]; then
    if mount -t tracefs tracefs $tracefs; then
        echo "setup: mounted tracefs at $tracefs"
    else
        echo "setup: tracefs could not be mounted at $tracefs; tracing of tracepoints needs it" >&2
    fi
fi
