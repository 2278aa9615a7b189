// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What a program with a deadline has to bear, measured as cyclictest does: how late it wakes up. Of each batch of wake-ups one line,
 * LACUNA-LATENCY, with the median and the longest in microseconds; what it takes to print the line is not measured.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "latency.h"

enum { BATCH = 50, PERIOD_NS = 10000000, SECOND_NS = 1000000000 };

static int compare(const void *one, const void *other)
{
    long a = *(const long *)one, b = *(const long *)other;

    return (a > b) - (a < b);
}

static long microseconds_since(const struct timespec *then)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (now.tv_sec - then->tv_sec) * 1000000L + (now.tv_nsec - then->tv_nsec) / 1000;
}

void measure_latency(void)
{
    const struct sched_param priority = { .sched_priority = 90 };
    static long late[BATCH];

    if (mlockall(MCL_CURRENT | MCL_FUTURE) || sched_setscheduler(0, SCHED_FIFO, &priority)) {
        perror("LACUNA-LATENCY");
        exit(1);
    }
    for (;;) {
        struct timespec next;

        clock_gettime(CLOCK_MONOTONIC, &next);
        for (int i = 0; i < BATCH; i++) {
            next.tv_nsec += PERIOD_NS;
            next.tv_sec += next.tv_nsec / SECOND_NS;
            next.tv_nsec %= SECOND_NS;
            clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
            late[i] = microseconds_since(&next);
            if (late[i] * 1000 > PERIOD_NS) /* what it has slept through it does not make up for */
                clock_gettime(CLOCK_MONOTONIC, &next);
        }
        qsort(late, BATCH, sizeof(late[0]), compare);
        printf("LACUNA-LATENCY %ld %ld\n", late[BATCH / 2], late[BATCH - 1]);
    }
}
