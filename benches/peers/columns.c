// What a C user of libbpf writes to get columns: a callback that appends each record's fields to arrays.

#include <bpf/libbpf.h>
#include <errno.h>
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

struct columns {
    uint64_t *ts;
    uint32_t *pid;
    uint32_t *cpu;
    uint64_t *a;
    uint64_t *b;
    char (*comm)[16];
    size_t rows;
};

struct peer {
    struct ring_buffer *ring;
    struct columns columns;
};

static int append(void *context, void *data, size_t size)
{
    struct columns *to = context;
    const struct event *event = data;
    size_t row = to->rows++;
    (void)size;
    to->ts[row] = event->ts;
    to->pid[row] = event->pid;
    to->cpu[row] = event->cpu;
    to->a[row] = event->a;
    to->b[row] = event->b;
    memcpy(to->comm[row], event->comm, sizeof event->comm);
    return 0;
}

static void *allocate(size_t size, int touch)
{
    void *memory = malloc(size);
    if (!memory)
        abort();
    if (touch)
        memset(memory, 1, size);
    return memory;
}

static void allocate_all(struct columns *columns, size_t rows, int touch)
{
    columns->ts = allocate(rows * sizeof *columns->ts, touch);
    columns->pid = allocate(rows * sizeof *columns->pid, touch);
    columns->cpu = allocate(rows * sizeof *columns->cpu, touch);
    columns->a = allocate(rows * sizeof *columns->a, touch);
    columns->b = allocate(rows * sizeof *columns->b, touch);
    columns->comm = allocate(rows * sizeof *columns->comm, touch);
}

static void release_all(struct columns *columns)
{
    free(columns->ts);
    free(columns->pid);
    free(columns->cpu);
    free(columns->a);
    free(columns->b);
    free(columns->comm);
    memset(columns, 0, sizeof *columns);
}

// Makes the consumer of a ring, and arrays for `rows` records that have been written to before.
struct peer *peer_open(int map_fd, size_t rows)
{
    struct peer *peer = calloc(1, sizeof *peer);
    if (!peer)
        abort();
    peer->ring = ring_buffer__new(map_fd, append, &peer->columns, NULL);
    if (!peer->ring) {
        free(peer);
        return NULL;
    }
    allocate_all(&peer->columns, rows, 1);
    return peer;
}

// Reads what is in the ring into the arrays that are there.
long peer_drain(struct peer *peer)
{
    peer->columns.rows = 0;
    return ring_buffer__consume(peer->ring);
}

// Reads what is in the ring into arrays made for it, which `kept` owns afterwards.
long peer_drain_kept(struct peer *peer, struct columns *kept, size_t rows)
{
    struct columns before = peer->columns;
    allocate_all(&peer->columns, rows, 0);
    peer->columns.rows = 0;
    long count = ring_buffer__consume(peer->ring);
    *kept = peer->columns;
    peer->columns = before;
    return count;
}

void kept_release(struct columns *kept)
{
    release_all(kept);
}

void peer_close(struct peer *peer)
{
    ring_buffer__free(peer->ring);
    release_all(&peer->columns);
    free(peer);
}
