// libbpf's ring_buffer__poll as its examples use it, with a callback that puts six fields into column arrays, round and
// round, until SIGTERM: poller RING_FD CPU, or any CPU if that is -1. It says "ready" when it has the ring, and
// "EVENTS CPU_NANOSECONDS" at the end.

#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct event {
    uint64_t ts;
    uint32_t pid;
    uint32_t cpu;
    uint64_t a;
    uint64_t b;
    char comm[16];
};

#define ROWS 65536

static uint64_t ts[ROWS], a[ROWS], b[ROWS], events;
static uint32_t pid[ROWS], cpu[ROWS];
static char comm[ROWS][16];
static volatile sig_atomic_t over;

static int append(void *context, void *data, size_t size)
{
    const struct event *event = data;
    size_t row = events++ % ROWS;
    (void)context;
    (void)size;
    ts[row] = event->ts;
    pid[row] = event->pid;
    cpu[row] = event->cpu;
    a[row] = event->a;
    b[row] = event->b;
    memcpy(comm[row], event->comm, sizeof event->comm);
    // A producer that is never slower would keep ring_buffer__poll from coming back.
    return over ? -1 : 0;
}

static void end(int signal)
{
    (void)signal;
    over = 1;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    if (atoi(argv[2]) >= 0) {
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        CPU_SET(atoi(argv[2]), &cpus);
        if (sched_setaffinity(0, sizeof cpus, &cpus))
            return 1;
    }
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    struct ring_buffer *ring = ring_buffer__new(atoi(argv[1]), append, NULL, NULL);
    if (!ring)
        return 1;
    puts("ready");
    fflush(stdout);
    while (!over)
        ring_buffer__poll(ring, 100);
    struct timespec used;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    printf("%llu %llu\n", (unsigned long long)events,
           (unsigned long long)used.tv_sec * 1000000000 + (unsigned long long)used.tv_nsec);
    return 0;
}
