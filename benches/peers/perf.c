// What a C user of libbpf writes to get columns from perf buffers: a callback that appends each record's fields to arrays
// that have been written to before.

#include <bpf/libbpf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct event {
    uint64_t ts;
    uint32_t pid;
    uint32_t cpu;
    uint64_t a;
    uint64_t b;
    char comm[16];
};

struct peer {
    struct perf_buffer *buffers;
    size_t rows;
    uint64_t *ts, *a, *b;
    uint32_t *pid, *cpu;
    char (*comm)[16];
};

static void append(void *context, int cpu, void *data, __u32 size)
{
    struct peer *to = context;
    const struct event *event = data;
    size_t row = to->rows++;
    (void)cpu;
    (void)size;
    to->ts[row] = event->ts;
    to->pid[row] = event->pid;
    to->cpu[row] = event->cpu;
    to->a[row] = event->a;
    to->b[row] = event->b;
    memcpy(to->comm[row], event->comm, sizeof event->comm);
}

static void *touched(size_t size)
{
    void *memory = malloc(size);
    if (!memory)
        abort();
    return memset(memory, 1, size);
}

// Makes the consumer of a map's buffers, and arrays for `rows` records.
struct peer *perf_open(int map_fd, size_t pages, size_t rows)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        abort();
    peer->buffers = perf_buffer__new(map_fd, pages, append, NULL, peer, NULL);
    if (!peer->buffers)
        return NULL;
    peer->ts = touched(rows * sizeof *peer->ts);
    peer->pid = touched(rows * sizeof *peer->pid);
    peer->cpu = touched(rows * sizeof *peer->cpu);
    peer->a = touched(rows * sizeof *peer->a);
    peer->b = touched(rows * sizeof *peer->b);
    peer->comm = touched(rows * sizeof *peer->comm);
    return peer;
}

// Reads what is in the buffers into the arrays, and says how many records that were.
long perf_drain(struct peer *peer)
{
    peer->rows = 0;
    if (perf_buffer__consume(peer->buffers) < 0)
        return -1;
    return peer->rows;
}

void perf_close(struct peer *peer)
{
    perf_buffer__free(peer->buffers);
    free(peer->ts);
    free(peer->pid);
    free(peer->cpu);
    free(peer->a);
    free(peer->b);
    free(peer->comm);
    free(peer);
}
