// A C consumer of traced calls, until SIGTERM: events go into column arrays, round and round.
//
//     consumer poll|1ms|perf MAP_FD
//
// "poll" is libbpf's ring_buffer__poll, as its examples use it; "1ms" sleeps and then takes what has come; "perf" is
// perf_buffer__poll, with libbpf's default of a wake-up for each event. It says "ready"
// when it has the ring, and "EVENTS CPU_NANOSECONDS" at the end.

#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct event {
    uint64_t ts;
    uint32_t pid;
    uint32_t tid;
    char comm[16];
};

#define ROWS 65536

static uint64_t ts[ROWS], events;
static uint32_t pid[ROWS], tid[ROWS];
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
    tid[row] = event->tid;
    memcpy(comm[row], event->comm, sizeof event->comm);
    return 0;
}

static void append_sample(void *context, int cpu, void *data, __u32 size)
{
    (void)cpu;
    append(context, data, size);
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
    int polls = strcmp(argv[1], "poll") == 0;
    struct sigaction action = {.sa_handler = end};
    sigaction(SIGTERM, &action, NULL);
    struct ring_buffer *ring = NULL;
    struct perf_buffer *buffers = NULL;
    if (strcmp(argv[1], "perf") == 0)
        buffers = perf_buffer__new(atoi(argv[2]), 2048, append_sample, NULL, NULL, NULL);
    else
        ring = ring_buffer__new(atoi(argv[2]), append, NULL, NULL);
    if (!ring && !buffers)
        return 1;
    puts("ready");
    fflush(stdout);
    const struct timespec gather = {0, 1000000};
    while (!over) {
        if (buffers) {
            perf_buffer__poll(buffers, 100);
        } else if (polls) {
            ring_buffer__poll(ring, 100);
        } else {
            nanosleep(&gather, NULL);
            ring_buffer__consume(ring);
        }
    }
    if (buffers)
        perf_buffer__consume(buffers);
    else
        ring_buffer__consume(ring);
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%llu %llu\n", (unsigned long long)events,
           (unsigned long long)cpu.tv_sec * 1000000000 + (unsigned long long)cpu.tv_nsec);
    return 0;
}
