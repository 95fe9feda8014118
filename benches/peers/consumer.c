// A C consumer of traced calls, until SIGTERM: events go into column arrays, round and round.
//
//     consumer poll|1ms RING_FD
//
// "poll" is libbpf's ring_buffer__poll, as its examples use it; "1ms" sleeps and then takes what has come. It says "ready"
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
    struct ring_buffer *ring = ring_buffer__new(atoi(argv[2]), append, NULL, NULL);
    if (!ring)
        return 1;
    puts("ready");
    fflush(stdout);
    const struct timespec gather = {0, 1000000};
    while (!over) {
        if (polls) {
            ring_buffer__poll(ring, 100);
        } else {
            nanosleep(&gather, NULL);
            ring_buffer__consume(ring);
        }
    }
    ring_buffer__consume(ring);
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf("%llu %llu\n", (unsigned long long)events,
           (unsigned long long)cpu.tv_sec * 1000000000 + (unsigned long long)cpu.tv_nsec);
    return 0;
}
