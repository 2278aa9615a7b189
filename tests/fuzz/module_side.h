/* SPDX-License-Identifier: GPL-2.0-only */
/* The module's end of netlink, in user space. */
#ifndef LACUNA_MODULE_SIDE_H
#define LACUNA_MODULE_SIDE_H

#include <lacuna/abi.h>
#include <stddef.h>
#include <stdint.h>

/* An order as its sender's kernel hands it over: what stands behind the generic netlink header. 0 or a negative errno. */
int module_take(uint8_t command, int dump, const uint8_t *attributes, size_t size);

/* What has passed the module's check, for the engine to be tried with. */
void module_constraints(const struct lacuna_constraints *set);

#endif
