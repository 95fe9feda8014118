"""Network namespaces of a test's own, for real traffic between interfaces that nobody else has."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

CLONE_NEWNET = 0x40000000
SIOCETHTOOL, ETHTOOL_STXCSUM = 0x8946, 0x17

libc = ctypes.CDLL(None, use_errno=True)


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


class Namespace:
    """A network namespace, which lives as long as the thread that works in it."""

    def __init__(self):
        self._thread = ThreadPoolExecutor(1, initializer=lambda: checked(libc.unshare(CLONE_NEWNET)))
        self.path = self.do(lambda: f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net")
        self.ip("link set lo up")

    def do(self, work):
        return self._thread.submit(work).result()

    def ip(self, command):
        done = self.do(lambda: subprocess.run(["ip", *command.split()], capture_output=True, text=True))
        assert not done.returncode, (command, done.stderr)
        return done.stdout

    def offload(self, device, on):
        def set_it():
            value = ctypes.create_string_buffer(struct.pack("II", ETHTOOL_STXCSUM, on))
            request = struct.pack("16sQ16x", device.encode(), ctypes.addressof(value))
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
                fcntl.ioctl(any_socket, SIOCETHTOOL, request)

        self.do(set_it)

    def socket(self, kind, address=None):
        def make():
            made = socket.socket(socket.AF_INET, kind)
            made.settimeout(10)
            if address:
                made.bind(address)
            return made

        return self.do(make)

    def close(self):
        self._thread.shutdown()
