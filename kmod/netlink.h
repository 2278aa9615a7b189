/* SPDX-License-Identifier: GPL-2.0-only */
/* The generic netlink family (<lacuna/abi.h>). */
#ifndef LACUNA_NETLINK_H
#define LACUNA_NETLINK_H

#include <lacuna/abi.h>

struct lac_guest;

int lac_netlink_init(void);
void lac_netlink_exit(void);

/* Tells whoever listens (lac_teller). */
int lac_netlink_notify(struct lac_guest *guest, enum lacuna_event event);

#endif
