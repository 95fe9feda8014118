"""Every number that the README claims, measured beside those who do the same today, in one run.

    python -m benches                 everything (as root; half an hour)
    python -m benches drain import    some of it
    python -m benches --smoke         our side, and the C peers that need only libbpf, once and short
    python -m benches --json FILE     the results as JSON too
    python -m benches --readme        the README's table, from the last results

Peers take turns with us (A B A B), and medians are compared. Only processes that the benchmarks start are traced, and
nothing is left behind: programs go with the process, and run-time statistics are switched on by a file descriptor.
"""
