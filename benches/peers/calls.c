// The process that is traced: calls getppid again and again, and says what a call cost.
//
//     calls [-w] [-c COUNT] [-r CALLS_A_SECOND] [-s SECONDS]
//
// -w waits for a byte on stdin first. The answer is "calls COUNT NANOSECONDS_A_CALL".

#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

int main(int argc, char **argv)
{
    uint64_t count = UINT64_MAX, rate = 0, seconds = 0, done = 0;
    int option, wait = 0;
    while ((option = getopt(argc, argv, "wc:r:s:")) != -1) {
        switch (option) {
        case 'w':
            wait = 1;
            break;
        case 'c':
            count = strtoull(optarg, NULL, 10);
            break;
        case 'r':
            rate = strtoull(optarg, NULL, 10);
            break;
        case 's':
            seconds = strtoull(optarg, NULL, 10);
            break;
        default:
            return 2;
        }
    }
    char byte;
    if (wait && read(0, &byte, 1) != 1)
        return 1;
    uint64_t start = now(), end = seconds ? start + seconds * 1000000000 : UINT64_MAX;
    while (done < count) {
        if (rate) {
            uint64_t at = start + done * 1000000000 / rate;
            struct timespec until = {(time_t)(at / 1000000000), (long)(at % 1000000000)};
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        }
        syscall(SYS_getppid);
        done++;
        if ((rate || done % 1024 == 0) && now() >= end)
            break;
    }
    printf("calls %llu %.3f\n", (unsigned long long)done, (double)(now() - start) / (double)done);
    return 0;
}
