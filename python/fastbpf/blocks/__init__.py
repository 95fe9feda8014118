"""Building blocks of programs: headers, checksums, maps, ring buffers, time, rate limits. Pure Python.

Each block is a part that `assemble` takes, with labels of its own, and says which registers it clobbers, which bytes of
the stack it writes, and where it goes when it fails.
"""
