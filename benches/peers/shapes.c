// What a C user of libbpf writes to get columns of records of several shapes: a callback for each, which appends fields to
// arrays that have been written to before.

#include <bpf/libbpf.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct small {
    uint64_t ts;
    uint32_t pid;
    uint32_t value;
};

struct large {
    uint64_t ts;
    uint32_t pid;
    uint32_t cpu;
    uint64_t counts[13];
    char path[128];
    int64_t result;
};

struct named {
    uint64_t ts;
    uint32_t pid;
    uint32_t name; // length << 16 | offset
    char comm[16];
};

struct endpoint {
    uint32_t address;
    uint16_t port;
    uint16_t family;
};

struct flow {
    uint64_t ts;
    struct endpoint source;
    struct endpoint target;
    uint64_t packets;
    uint64_t bytes;
};

struct shape {
    struct ring_buffer *ring;
    size_t rows;
    void *columns[10];
    size_t used; // bytes of text
};

// The places of one column after another, of the width of their type.
#define COLUMN(number, type) ((type *)shape->columns[number])

static int small(void *context, void *data, size_t size)
{
    struct shape *shape = context;
    const struct small *event = data;
    size_t row = shape->rows++;
    (void)size;
    COLUMN(0, uint64_t)[row] = event->ts;
    COLUMN(1, uint32_t)[row] = event->pid;
    COLUMN(2, uint32_t)[row] = event->value;
    return 0;
}

static int large(void *context, void *data, size_t size)
{
    struct shape *shape = context;
    const struct large *event = data;
    size_t row = shape->rows++;
    (void)size;
    COLUMN(0, uint64_t)[row] = event->ts;
    COLUMN(1, uint32_t)[row] = event->pid;
    COLUMN(2, uint32_t)[row] = event->cpu;
    memcpy(COLUMN(3, uint64_t) + row * 13, event->counts, sizeof event->counts);
    memcpy(COLUMN(4, char) + row * 128, event->path, sizeof event->path);
    COLUMN(5, int64_t)[row] = event->result;
    return 0;
}

static int strings(void *context, void *data, size_t size)
{
    struct shape *shape = context;
    const struct named *event = data;
    size_t row = shape->rows++;
    size_t offset = event->name & 0xffff, length = event->name >> 16;
    if (offset + length > size)
        return -1;
    COLUMN(0, uint64_t)[row] = event->ts;
    COLUMN(1, uint32_t)[row] = event->pid;
    memcpy(COLUMN(2, char) + shape->used, (const char *)data + offset, length);
    shape->used += length;
    COLUMN(3, uint32_t)[row + 1] = shape->used;
    memcpy(COLUMN(4, char) + row * 16, event->comm, sizeof event->comm);
    return 0;
}

static int nested(void *context, void *data, size_t size)
{
    struct shape *shape = context;
    const struct flow *event = data;
    size_t row = shape->rows++;
    (void)size;
    COLUMN(0, uint64_t)[row] = event->ts;
    COLUMN(1, uint32_t)[row] = event->source.address;
    COLUMN(2, uint16_t)[row] = event->source.port;
    COLUMN(3, uint16_t)[row] = event->source.family;
    COLUMN(4, uint32_t)[row] = event->target.address;
    COLUMN(5, uint16_t)[row] = event->target.port;
    COLUMN(6, uint16_t)[row] = event->target.family;
    COLUMN(7, uint64_t)[row] = event->packets;
    COLUMN(8, uint64_t)[row] = event->bytes;
    return 0;
}

static const struct {
    const char *name;
    ring_buffer_sample_fn append;
    size_t widths[10];
} known[] = {
    {"small", small, {8, 4, 4}},
    {"large", large, {8, 4, 4, 104, 128, 8}},
    {"strings", strings, {8, 4, 48, 4, 16}},
    {"nested", nested, {8, 4, 2, 2, 4, 2, 2, 8, 8}},
};

// Makes the consumer of a ring, and arrays for `rows` records of the shape.
struct shape *shape_open(const char *name, int map_fd, size_t rows)
{
    struct shape *shape = calloc(1, sizeof *shape);
    if (!shape)
        abort();
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (strcmp(known[i].name, name))
            continue;
        for (size_t column = 0; known[i].widths[column]; column++) {
            size_t bytes = known[i].widths[column] * (rows + 1);
            shape->columns[column] = malloc(bytes);
            if (!shape->columns[column])
                abort();
            memset(shape->columns[column], 1, bytes);
        }
        shape->ring = ring_buffer__new(map_fd, known[i].append, shape, NULL);
    }
    return shape->ring ? shape : NULL;
}

// Reads what is in the ring into the arrays.
long shape_drain(struct shape *shape)
{
    shape->rows = shape->used = 0;
    return ring_buffer__consume(shape->ring);
}

void shape_close(struct shape *shape)
{
    ring_buffer__free(shape->ring);
    for (size_t column = 0; column < 10; column++)
        free(shape->columns[column]);
    free(shape);
}
