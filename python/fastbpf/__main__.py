"""`python -m fastbpf` is the command `fastbpf`."""

from fastbpf.cli import main

main()
