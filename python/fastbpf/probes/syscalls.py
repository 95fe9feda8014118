"""Which arguments of syscalls are text.

A format says `char *` for a path that the caller passes in, for a buffer of any bytes, and for a place where the
kernel will write; only the first can be read as text. `TEXT` lists those: NUL-terminated, there when the syscall
begins. Left out on purpose: the buffers of `read`, `write` and their kin, what the kernel fills in (`getcwd`,
the second of `readlink` and `listxattr`), names with a length and no NUL (`sethostname`, `setdomainname`), and
plain addresses (`shmat`, `shmdt`).

Source: the kernel's `SYSCALL_DEFINE` of each, and section 2 of the manual.
"""

from __future__ import annotations

__all__ = ["TEXT"]

# Positions of the text among the arguments, and the syscalls of which they are true.
_BY_POSITION: dict[tuple[int, ...], str] = {
    (0,): """access acct chdir chmod chown chroot creat delete_module execve fsopen lchown listxattr llistxattr lstat
        lstat64 memfd_create mkdir mknod mq_open mq_unlink newlstat newstat oldumount open readlink rmdir stat stat64
        statfs statfs64 swapoff swapon truncate truncate64 umount unlink uselib utime utimes""",
    (1,): """execveat faccessat faccessat2 fchmodat fchmodat2 fchownat fgetxattr file_getattr file_setattr
        finit_module fremovexattr fsetxattr fspick fstatat64 futimesat inotify_add_watch listxattrat mkdirat mknodat
        mount_setattr name_to_handle_at newfstatat open_tree open_tree_attr openat openat2 quotactl readlinkat statx
        unlinkat utimensat""",
    (2,): "fsconfig init_module",
    (4,): "fanotify_mark kexec_file_load",
    (0, 1): "add_key getxattr lgetxattr link lremovexattr lsetxattr pivot_root removexattr rename setxattr symlink",
    (0, 2): "symlinkat",
    (1, 3): "getxattrat linkat move_mount removexattrat renameat renameat2 setxattrat",
    (0, 1, 2): "mount request_key",
}

TEXT: dict[str, tuple[int, ...]] = {name: where for where, names in _BY_POSITION.items() for name in names.split()}
"""Syscall, named as its tracepoint names it (`newstat`, `umount`) → positions of its text arguments, from 0.

>>> TEXT["renameat2"]
(1, 3)
"""
