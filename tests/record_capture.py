"""Records tests/data/openat.fbpf, as root: the files that a shell of ours and its few commands open.

    .venv/bin/python tests/record_capture.py

Nothing but that shell's family is in it, and it opens only what every Debian has, and a folder of its own in /tmp.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from fastbpf.capture import replay

CAPTURE = Path(__file__).parent / "data/openat.fbpf"

# One name is longer than the 256 bytes that are kept, and one file is not there.
SCRIPT = """
cd / && umask 077 && mkdir -p /tmp/fastbpf-demo && echo text >/tmp/fastbpf-demo/notes.txt
cat /tmp/fastbpf-demo/notes.txt /etc/os-release /etc/passwd /tmp/fastbpf-demo/missing /tmp/fastbpf-demo/größe
cat "/tmp/fastbpf-demo/$(printf 'x%.0s' $(seq 1 300))"
for i in 1 2 3 4 5 6 7 8; do head -c 1 /etc/group; done
find /usr/lib /usr/share -maxdepth 2 -name 'python*'
ls -R /usr/share/zoneinfo
rm -r /tmp/fastbpf-demo
"""
PLACES = re.compile(r"/(etc|lib|lib64|proc|sys|tmp/fastbpf-demo|usr/lib|usr/lib64|usr/share|dev/null|dev/tty)(/|$)")


def main():
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "openat.fbpf"
        fastbpf = [sys.executable, "-m", "fastbpf", "record", "tracepoint:syscalls:sys_enter_openat", "-o", made]
        clean = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        subprocess.run([*fastbpf, "--", "sh", "-c", SCRIPT], env=clean, cwd="/", check=True, capture_output=True)
        data = made.read_bytes()
        paths = replay(made).read()["filename"].to_pylist()
    for path in filter(None, paths):
        assert PLACES.match(path) or not path.startswith("/"), path
    for place in (Path.home(), Path(sys.prefix), CAPTURE.parents[3]):
        assert bytes(place) not in data, place
    assert len(data) < 200_000, len(data)
    CAPTURE.write_bytes(data)


if __name__ == "__main__":
    main()
