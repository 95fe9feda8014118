// Maps read and written by libbpf: functions for ctypes. They give nanoseconds, or a negative errno.

#define _GNU_SOURCE
#include <bpf/bpf.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define BATCH 4096

static int64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

// All elements of a hash into raw buffers, which have room for a batch more than there are.
int64_t read_hash(int fd, uint32_t key_size, uint32_t value_size, char *keys, char *values, uint32_t *read)
{
    uint64_t in = 0, out = 0;
    int more = 1, first = 1;
    uint32_t done = 0;
    int64_t start = now();
    while (more) {
        uint32_t count = BATCH;
        int error = bpf_map_lookup_batch(fd, first ? NULL : &in, &out, keys + (size_t)done * key_size,
                                         values + (size_t)done * value_size, &count, NULL);
        if (error && errno != ENOENT)
            return -errno;
        more = !error;
        done += count;
        in = out;
        first = 0;
    }
    *read = done;
    return now() - start;
}

// The sums over CPUs of a per-CPU hash with values of 8 bytes, and its keys of 8 bytes.
int64_t sum_hash(int fd, uint32_t cpus, uint64_t *keys, uint64_t *sums, uint32_t *read)
{
    static uint64_t *values;
    uint64_t in = 0, out = 0;
    int more = 1, first = 1;
    uint32_t done = 0;
    if (!values)
        values = malloc((size_t)BATCH * cpus * 8);
    int64_t start = now();
    while (more) {
        uint32_t count = BATCH;
        int error = bpf_map_lookup_batch(fd, first ? NULL : &in, &out, keys + done, values, &count, NULL);
        if (error && errno != ENOENT)
            return -errno;
        more = !error;
        for (uint32_t i = 0; i < count; i++) {
            uint64_t sum = 0;
            for (uint32_t cpu = 0; cpu < cpus; cpu++)
                sum += values[i * cpus + cpu];
            sums[done + i] = sum;
        }
        done += count;
        in = out;
        first = 0;
    }
    *read = done;
    return now() - start;
}

// Elements that lie in memory as the kernel takes them.
int64_t update_hash(int fd, char *keys, char *values, uint32_t *written)
{
    int64_t start = now();
    if (bpf_map_update_batch(fd, keys, values, written, NULL))
        return -errno;
    return now() - start;
}

// The values of a mapped array, copied into memory that nobody has touched, in huge pages where there are some.
int64_t copy_array(int fd, size_t size)
{
    const size_t page = 4096, huge = 2 << 20;
    size_t mapped = (size + page - 1) / page * page, fresh = (size + huge - 1) / huge * huge;
    int64_t start = now();
    void *from = mmap(NULL, mapped, PROT_READ, MAP_SHARED, fd, 0);
    if (from == MAP_FAILED)
        return -errno;
    void *to = mmap(NULL, fresh, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (to == MAP_FAILED)
        return -errno;
    madvise(to, fresh, MADV_HUGEPAGE);
    memcpy(to, from, size);
    int64_t took = now() - start;
    munmap(to, fresh);
    munmap(from, mapped);
    return took;
}
