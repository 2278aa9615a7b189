// SPDX-License-Identifier: GPL-2.0-only
#include "orders.h"

#include <linux/err.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "hunt.h"

static unsigned int hold_ms = 1000;
module_param(hold_ms, uint, 0644);
MODULE_PARM_DESC(hold_ms, "Milliseconds a new guest is held back until the daemon has decided about it");

static DEFINE_MUTEX(constraints_lock);
static struct lacuna_constraints *constraints;
static bool closed;

int lac_orders_set_constraints(const struct lacuna_constraints *set)
{
	struct lacuna_constraints *copy = kvmalloc(sizeof(*copy), GFP_KERNEL), *old;

	if (!copy)
		return -ENOMEM;
	*copy = *set;
	mutex_lock(&constraints_lock);
	old = constraints;
	constraints = copy;
	mutex_unlock(&constraints_lock);
	kvfree(old);
	return 0;
}

/* Or an error as a pointer. */
static struct lac_engine *new_engine(void)
{
	struct lac_engine *engine = ERR_PTR(-ENODATA);

	mutex_lock(&constraints_lock);
	if (constraints)
		engine = lac_engine_create(constraints) ?: ERR_PTR(-ENOMEM);
	mutex_unlock(&constraints_lock);
	return engine;
}

/* When nobody listens nobody would answer. */
void lac_orders_ask(struct lac_guest *guest, enum lacuna_event event)
{
	if (!lac_guest_tell(guest, event))
		wait_event_killable_timeout(guest->decided,
					    READ_ONCE(guest->state) != LACUNA_GUEST_CREATED || READ_ONCE(closed),
					    msecs_to_jiffies(READ_ONCE(hold_ms)));
}

static int can_arm(const struct lac_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	switch (guest->state) {
	case LACUNA_GUEST_WAITING:
	case LACUNA_GUEST_TRAPPING:
	case LACUNA_GUEST_RESTORING:
		return -EBUSY;
	case LACUNA_GUEST_GONE:
		return -ESHUTDOWN;
	}
	return READ_ONCE(closed) ? -ESHUTDOWN : 0;
}

static int take_orders(struct lac_guest *guest, struct lac_orders *orders)
{
	struct lac_engine *engine = new_engine();

	if (IS_ERR(engine))
		return PTR_ERR(engine);
	lac_hunt_begin(guest, engine, orders);
	return 0;
}

int lac_orders_arm(struct lac_guest *guest, struct lac_orders *orders)
{
	int err;

	err = lac_hunt_get_hooks();
	if (err)
		return err;
	mutex_lock(&guest->engine_lock);
	mutex_lock(&guest->lock);
	err = can_arm(guest);
	if (!err)
		err = take_orders(guest, orders);
	mutex_unlock(&guest->lock);
	mutex_unlock(&guest->engine_lock);
	if (err)
		lac_hunt_put_hooks();
	lac_orders_wake(guest);
	return err;
}

int lac_orders_ignore(struct lac_guest *guest)
{
	int err = 0;

	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_CREATED)
		lac_guest_enter(guest, LACUNA_GUEST_IGNORED);
	else if (guest->state != LACUNA_GUEST_IGNORED)
		err = -EBUSY;
	mutex_unlock(&guest->lock);
	lac_orders_wake(guest);
	return err;
}

void lac_orders_close(void)
{
	WRITE_ONCE(closed, true);
}

void lac_orders_wake(struct lac_guest *guest)
{
	wake_up_all(&guest->decided);
}

void lac_orders_exit(void)
{
	kvfree(constraints);
}
