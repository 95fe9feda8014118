// Runs a BPF program as fast as it can, on one CPU, for a while: producer PROGRAM_FD CPU SECONDS. Says how often, and the
// sum of what the program returned.

#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(atoi(argv[2]), &cpus);
    if (sched_setaffinity(0, sizeof cpus, &cpus))
        return 1;
    unsigned long long runs = 0, returned = 0;
    for (double end = now() + atof(argv[3]); now() < end; runs++) {
        LIBBPF_OPTS(bpf_test_run_opts, run);
        if (bpf_prog_test_run_opts(atoi(argv[1]), &run))
            return 1;
        returned += run.retval;
    }
    printf("%llu %llu\n", runs, returned);
    return 0;
}
