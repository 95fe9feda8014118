"""C text to an object with BTF, by clang."""

import subprocess

HEADER = """
typedef unsigned char __u8; typedef signed char __s8; typedef unsigned short __u16; typedef short __s16;
typedef unsigned int __u32; typedef int __s32; typedef unsigned long long __u64; typedef long long __s64;
typedef __u16 __be16; typedef __u32 __be32; typedef __u64 __be64;
"""


def compiled(text, *, target="bpf"):
    """The object's bytes. Types without a variable are left out by the compiler."""
    command = ["clang", "-g", "-O1", "-target", target, "-x", "c", "-c", "-", "-o", "/dev/stdout"]
    done = subprocess.run(command, input=(HEADER + text).encode(), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout
