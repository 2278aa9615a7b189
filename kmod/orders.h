/* SPDX-License-Identifier: GPL-2.0-only */
/* What is to be done with a guest: asked for when it is created or was reset, and taken from the daemon. */
#ifndef LACUNA_ORDERS_H
#define LACUNA_ORDERS_H

#include "guest.h"

/* What guests armed from now on are hunted with. The set has been checked. 0 or -ENOMEM. */
int lac_orders_set_constraints(const struct lacuna_constraints *set);

/* Tells the event, and waits for a bounded time to be told what to do with the guest. */
void lac_orders_ask(struct lac_guest *guest, enum lacuna_event event);

/* 0; -EBUSY: it is being hunted; -ESHUTDOWN: it is gone; -ENODATA: no constraints yet; -ENOMEM; error of the hooks. */
int lac_orders_arm(struct lac_guest *guest, struct lac_orders *orders);
int lac_orders_ignore(struct lac_guest *guest);

/* None are taken any more, and nobody who asks waits on. @guest: one who may be waiting. */
void lac_orders_close(void);
void lac_orders_wake(struct lac_guest *guest);
/* Nobody can come any more. */
void lac_orders_exit(void);

#endif
