"""The helper functions that the kernel offers to BPF programs. Pure Python: nothing here asks the kernel."""
