/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef LAB_LATENCY_H
#define LAB_LATENCY_H

/* Wakes up again and again, with the highest priority there is, and prints how late; does not return. */
void measure_latency(void);

#endif
