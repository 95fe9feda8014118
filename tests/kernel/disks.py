"""Small disks of our own, to be filled."""

import subprocess
from contextlib import contextmanager


@contextmanager
def disk(path, size, *options):
    """A tmpfs at `path` while the block runs."""
    path.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs", path], check=True)
    try:
        yield path
    finally:
        # Lazily: whoever looks through /tmp at this moment must not keep it mounted.
        subprocess.run(["umount", "--lazy", path], check=True)
