"""`python -m fastbpf` is the command `fastbpf`."""

from fastbpf.cli import main

if __name__ == "__main__":
    main()
