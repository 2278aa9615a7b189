// SPDX-License-Identifier: GPL-2.0-only
#include "registry.h"

#include <linux/hashtable.h>
#include <linux/jiffies.h>
#include <linux/rculist.h>
#include <linux/sched.h>

#include "hook.h"
#include "hunt.h"
#include "orders.h"

/* RCU; added and removed under guests_lock. The exits of guests that are not hunted look up theirs too. */
static LIST_HEAD(guests);
static DEFINE_HASHTABLE(guests_by_kvm, 8);
static DEFINE_MUTEX(guests_lock);
static u32 last_id;
static bool closing;

struct lac_guest *lac_registry_find(const struct kvm *kvm)
{
	struct lac_guest *guest, *found = NULL;

	rcu_read_lock();
	hash_for_each_possible_rcu(guests_by_kvm, guest, by_kvm, (unsigned long)kvm) {
		if (READ_ONCE(guest->kvm) == kvm && kref_get_unless_zero(&guest->ref)) {
			found = guest;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/* Guests are listed in the order of their numbers. */
struct lac_guest *lac_registry_next(u32 id)
{
	struct lac_guest *guest, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(guest, &guests, entry) {
		if (guest->id >= id && kref_get_unless_zero(&guest->ref)) {
			found = guest;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

struct lac_guest *lac_registry_find_id(u32 id)
{
	struct lac_guest *guest = lac_registry_next(id);

	if (guest && guest->id != id) {
		lac_guest_put(guest);
		return NULL;
	}
	return guest;
}

/* The list holds the guest's first reference, the caller gets another. */
static struct lac_guest *add_guest(struct kvm *kvm, pid_t vmm_pid)
{
	struct lac_guest *guest = lac_guest_create(kvm, vmm_pid), *known;

	if (!guest)
		return NULL;
	lac_hunt_init(guest);
	mutex_lock(&guests_lock);
	known = lac_registry_find(kvm);
	if (known || closing) {
		mutex_unlock(&guests_lock);
		lac_guest_put(guest);
		if (known)
			lac_guest_put(known);
		return NULL;
	}
	guest->id = ++last_id;
	kref_get(&guest->ref);
	list_add_tail_rcu(&guest->entry, &guests);
	hash_add_rcu(guests_by_kvm, &guest->by_kvm, (unsigned long)kvm);
	mutex_unlock(&guests_lock);
	return guest;
}

/* Drops the list's reference. */
static void remove_guest(struct lac_guest *guest)
{
	mutex_lock(&guests_lock);
	list_del_rcu(&guest->entry);
	hash_del_rcu(&guest->by_kvm);
	mutex_unlock(&guests_lock);
	lac_guest_put(guest);
}

struct lac_guest *lac_registry_created(struct kvm *kvm)
{
	struct lac_guest *guest = lac_registry_find(kvm);

	if (!guest)
		return add_guest(kvm, task_tgid_nr(current));
	lac_guest_put(guest);
	return NULL;
}

struct lac_guest *lac_registry_adopt(struct kvm *kvm, pid_t vmm_pid)
{
	struct lac_guest *guest = lac_registry_find(kvm);

	return guest ? guest : add_guest(kvm, vmm_pid);
}

void lac_registry_gone(struct kvm *kvm)
{
	struct lac_guest *guest = lac_registry_find(kvm);

	if (!guest)
		return;
	remove_guest(guest);
	lac_hunt_gone(guest);
	lac_guest_tell(guest, LACUNA_EVENT_GONE);
	lac_guest_put(guest);
}

int lac_registry_init(void)
{
	int err;

	err = lac_guest_init();
	if (err)
		return err;
	err = lac_hook_get(LAC_HOOK_VM_DESTROYED);
	if (err)
		lac_guest_exit();
	return err;
}

#define STOP_MS 5000 /* for all guests together */

static void stop_all(void)
{
	unsigned long until = jiffies + msecs_to_jiffies(STOP_MS);
	struct lac_guest *guest;
	u32 id;

	for (guest = lac_registry_next(0); guest; guest = lac_registry_next(id + 1)) {
		id = guest->id;
		lac_orders_wake(guest);
		lac_hunt_order_end(guest);
		lac_guest_put(guest);
	}
	for (guest = lac_registry_next(0); guest; guest = lac_registry_next(id + 1)) {
		id = guest->id;
		lac_hunt_stop(guest, until);
		lac_guest_put(guest);
	}
}

static void drop_all(void)
{
	struct lac_guest *guest;

	for (guest = lac_registry_next(0); guest; guest = lac_registry_next(0)) {
		remove_guest(guest);
		lac_guest_put(guest);
	}
}

void lac_registry_exit(void)
{
	mutex_lock(&guests_lock);
	closing = true;
	mutex_unlock(&guests_lock);
	lac_orders_close();
	stop_all();
	lac_hook_put(LAC_HOOK_VM_DESTROYED);
	lac_hook_drain();
	/* what guests that went meanwhile have left to be done, and who was still inside of the hooks that go with it */
	lac_guest_flush();
	lac_hook_drain();
	drop_all();
	lac_guest_exit();
	lac_orders_exit();
}
