// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "guest.h"

#include <linux/ktime.h>
#include <linux/slab.h>

#include "kvm.h"
#include "recording.h"
#include "state.h"

static struct workqueue_struct *work_queue;
static lac_teller *teller;

int lac_guest_init(void)
{
	work_queue = alloc_workqueue("lacuna", WQ_UNBOUND, 0);
	return work_queue ? 0 : -ENOMEM;
}

void lac_guest_exit(void)
{
	destroy_workqueue(work_queue);
	rcu_barrier();
}

struct lac_guest *lac_guest_create(struct kvm *kvm, pid_t vmm_pid)
{
	struct lac_guest *guest = kzalloc(sizeof(*guest), GFP_KERNEL);

	if (!guest)
		return NULL;
	kref_init(&guest->ref);
	spin_lock_init(&guest->kvm_lock);
	spin_lock_init(&guest->pending_lock);
	spin_lock_init(&guest->stats_lock);
	mutex_init(&guest->lock);
	mutex_init(&guest->engine_lock);
	init_waitqueue_head(&guest->decided);
	guest->state = LACUNA_GUEST_CREATED;
	guest->kvm = kvm;
	guest->vmm_pid = vmm_pid;
	guest->created_ns = ktime_get_ns();
	guest->look_again = jiffies;
	return guest;
}

static void release_guest(struct kref *ref)
{
	struct lac_guest *guest = container_of(ref, struct lac_guest, ref);

	lac_engine_destroy(guest->engine);
	lac_recording_destroy(guest->recording);
	kvfree(guest->orders.kernels);
	kfree_rcu(guest, rcu);
}

void lac_guest_put(struct lac_guest *guest)
{
	might_sleep();
	kref_put(&guest->ref, release_guest);
}

void lac_guest_queue(struct lac_guest *guest, struct work_struct *work)
{
	kref_get(&guest->ref);
	if (!queue_work(work_queue, work))
		lac_guest_put(guest);
}

void lac_guest_queue_delayed(struct lac_guest *guest, struct delayed_work *work, unsigned long delay)
{
	kref_get(&guest->ref);
	if (!queue_delayed_work(work_queue, work, delay))
		lac_guest_put(guest);
}

void lac_guest_hurry(struct lac_guest *guest, struct delayed_work *work)
{
	kref_get(&guest->ref);
	if (mod_delayed_work(work_queue, work, 0))
		lac_guest_put(guest);
}

void lac_guest_cancel(struct lac_guest *guest, struct delayed_work *work)
{
	if (cancel_delayed_work(work))
		lac_guest_put(guest);
}

void lac_guest_flush(void)
{
	flush_workqueue(work_queue);
}

struct kvm *lac_guest_kvm(struct lac_guest *guest)
{
	struct kvm *kvm;

	spin_lock(&guest->kvm_lock);
	kvm = guest->kvm ? lac_kvm_get(guest->kvm) : NULL;
	spin_unlock(&guest->kvm_lock);
	return kvm;
}

u64 lac_guest_time(const struct lac_guest *guest)
{
	return ktime_get_ns() - guest->created_ns;
}

void lac_guest_count_hook(struct lac_guest *guest, u64 since, u64 bytes)
{
	u64 ns = lac_guest_time(guest) - since;

	spin_lock(&guest->stats_lock);
	guest->stats.hook_ns_total += ns;
	guest->stats.hook_ns_max = max(guest->stats.hook_ns_max, ns);
	guest->stats.bytes_read += bytes;
	spin_unlock(&guest->stats_lock);
}

void lac_guest_enter(struct lac_guest *guest, enum lacuna_guest_state state)
{
	lockdep_assert_held(&guest->lock);
	if (WARN_ONCE(!lac_state_may_follow(guest->state, state), "guest %u: state %u must not follow %u\n", guest->id,
		      state, guest->state))
		return;
	WRITE_ONCE(guest->state, state);
}

void lac_guest_tell_by(lac_teller *tell)
{
	WRITE_ONCE(teller, tell);
}

int lac_guest_tell(struct lac_guest *guest, enum lacuna_event event)
{
	lac_teller *tell = READ_ONCE(teller);

	lockdep_assert_not_held(&guest->engine_lock);
	lockdep_assert_not_held(&guest->lock);
	return tell ? tell(guest, event) : -ESRCH;
}
