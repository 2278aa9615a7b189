/* SPDX-License-Identifier: GPL-2.0-only */
/* Which instructions a trap may displace. Plain C: unit tests build it as it is. */
#ifndef LACUNA_DISPLACED_H
#define LACUNA_DISPLACED_H

#include <linux/types.h>

#ifndef __KERNEL__
#include <stdbool.h>
#endif

/*
 * Is there one instruction of exactly that length, and one that works on registers alone, or pushes one? What daemons say of
 * code is not believed: the emulator would execute whatever it is given with the rights of the guest's kernel.
 */
bool lac_may_be_displaced(const __u8 *bytes, __u32 length, bool is_64bit);

#endif
