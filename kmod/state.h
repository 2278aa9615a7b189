/* SPDX-License-Identifier: GPL-2.0-only */
/* Which state of a guest may come after which. Plain C: unit tests build it as it is. */
#ifndef LACUNA_STATE_H
#define LACUNA_STATE_H

#include <lacuna/abi.h>

#ifdef __KERNEL__
#include <linux/types.h>
#else
#include <stdbool.h>
#endif

/* The states are those of enum lacuna_guest_state; what is none of them comes after nothing, and nothing after it. */
bool lac_state_may_follow(unsigned int from, unsigned int to);

#endif
