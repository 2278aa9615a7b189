/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest: what is known of it, the references to it, its state, and the news of it.
 *
 * Locks, in the order in which they are taken; vCPU threads, netlink and the work queue all come here:
 *
 *   genetlink's cb_lock (for reading: orders), KVM's vcpu->mutex (vCPU threads), kvm->slots_lock (a slot has been changed)
 *   kvm->srcu           for reading: a vCPU thread from VM exit to VM entry; and whatever looks at memory slots
 *   engine_lock         mutex: one event at a time
 *   lock                mutex: state and sites
 *   constraints_lock    mutex, orders.c
 *   kvm_lock, pending_lock, stats_lock
 *                       spinlocks, one at a time, nothing under them
 *
 * guests_lock (mutex, registry.c) is taken alone, and so is hooks_lock (mutex, hook.c, and under it ftrace's own), which may be held
 * for a grace period of RCU-tasks. The VMM's mmap_lock is tried for and never waited for, nor is a guest's memory: see kvm.h.
 *
 * KVM calls synchronize_srcu(&kvm->srcu) with vcpu->mutex or slots_lock held
 * (Documentation/virt/kvm/locking.rst): who reads under srcu must wait for neither, and so must nobody who holds engine_lock
 * or lock, which such readers wait for. For the same reason none of our locks is held over lac_kvm_quiesce() or
 * lac_hook_drain().
 */
#ifndef LACUNA_GUEST_H
#define LACUNA_GUEST_H

#include <lacuna/abi.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "engine/engine.h"
#include "kernel.h"
#include "site.h"

struct kvm;
struct lac_recording;

#define LAC_PENDING_EXITS 64

/* What a guest is to be hunted with. */
struct lac_orders {
	struct lac_kernel *kernels; /* kvmalloc()ed; the guest takes them */
	u32 kernels_nr;
	u32 deadline_ms; /* of trapping */
	bool record;
};

struct lac_guest {
	struct kref ref;
	struct rcu_head rcu;
	struct list_head entry; /* registry.c */
	struct hlist_node by_kvm;
	u32 id;
	pid_t vmm_pid;
	u64 created_ns;

	spinlock_t kvm_lock;
	struct kvm *kvm; /* NULL once the virtual machine is gone */

	struct mutex lock;
	u8 state; /* enum lacuna_guest_state: changed by lac_guest_enter() alone, may be read without the lock */
	u8 final; /* while restoring: what comes then */
	bool hooked;
	bool asleep; /* no process is trapped until user space runs: the kernel's own threads teach nothing more */
	bool drowsy; /* lock: nor until process 1 does, which is looked at: before, the kernel starts programs for itself */
	const char *reason; /* a constant, or NULL */
	struct lac_orders orders;
	const struct lac_kernel *kernel; /* the one that runs */
	u64 slide;
	u64 text_gpa;
	u8 paging; /* enum lacuna_paging */
	u64 root; /* GPA of the kernel's own page-table root; 0: not known yet */
	u64 waiting_ns; /* since when it has been waiting for a kernel, as lac_guest_time() */
	bool nobody_inside; /* of functions of the kernel that is to come: its memory has just been filled, for all that is known */
	bool seen_firmware; /* the boot CPU without paging, since the orders came; else the kernel has been running since who knows when */
	unsigned long look_again; /* in jiffies: when an interrupt is the next occasion to look for a kernel */
	u64 rest_until_ns; /* as lac_guest_time(): no occasion is one before */
	bool retiring; /* the end of the hunt is being told */
	bool quiescing; /* while restoring: the bytes are back, vCPUs may be on their way from a trap */
	unsigned long quiet_since; /* see lac_kvm_is_quiet() */
	bool abandoned; /* the module goes: neither bytes nor vCPUs are waited for any longer */
	bool reset_pending; /* it was reset while a hunt was ending: asked about when that is over */
	u32 strange_exits; /* of a kernel that none of the descriptors fits */
	struct lac_site sites[LACUNA_SITE_KINDS];
	u32 members_nr;
	struct lacuna_member_report members[LACUNA_MAX_MEMBERS];
	wait_queue_head_t decided; /* that it is no longer CREATED */

	struct mutex engine_lock;
	struct lac_engine *engine;
	struct lac_recording *recording;

	spinlock_t pending_lock; /* exits that came while the engine was busy */
	u64 pending[LAC_PENDING_EXITS];
	u32 pending_nr;

	struct work_struct end_work; /* end it from outside of a vCPU's thread */
	struct delayed_work deadline_work;
	struct delayed_work survey_work; /* survey.c */
	unsigned int survey_ms; /* lock: from one look to the next */
	u64 surveyed_events; /* engine_lock: events used when it was last considered to look */
	struct delayed_work retire_work; /* puts the bytes back, and then lets it go */

	spinlock_t stats_lock; /* what traps count */
	struct lacuna_stats stats;
};

int lac_guest_init(void);
/* All guests have gone. */
void lac_guest_exit(void);

/* The caller puts, once the guest's works have been set. NULL: out of memory. */
struct lac_guest *lac_guest_create(struct kvm *kvm, pid_t vmm_pid);
void lac_guest_put(struct lac_guest *guest);

/* Work for a guest outside of a vCPU's thread; it puts the guest at its end. No delay: 0, in jiffies. */
void lac_guest_queue(struct lac_guest *guest, struct work_struct *work);
void lac_guest_queue_delayed(struct lac_guest *guest, struct delayed_work *work, unsigned long delay);
/* At once, even if it has been queued for later. */
void lac_guest_hurry(struct lac_guest *guest, struct delayed_work *work);
/* Takes it back if it has not begun. */
void lac_guest_cancel(struct lac_guest *guest, struct delayed_work *work);
/* Returns when all work has been done. */
void lac_guest_flush(void);

/* The virtual machine behind the guest: NULL if it is going away; put with kvm_put_kvm(). */
struct kvm *lac_guest_kvm(struct lac_guest *guest);

/* Nanoseconds since the guest was created. */
u64 lac_guest_time(const struct lac_guest *guest);

/* What a vCPU did for us instead of running: since when, as lac_guest_time(), and how many bytes of guest memory it has read. */
void lac_guest_count_hook(struct lac_guest *guest, u64 since, u64 bytes);

/* With lock held: every change of the state. One that state.c does not allow is reported and not made. */
void lac_guest_enter(struct lac_guest *guest, enum lacuna_guest_state state);

/* Who gets the news of all guests: 0, -ESRCH if nobody listens, or another negative errno. NULL: nobody. */
typedef int lac_teller(struct lac_guest *guest, enum lacuna_event event);
void lac_guest_tell_by(lac_teller *tell);
/* Tells. None of the guest's locks is held. */
int lac_guest_tell(struct lac_guest *guest, enum lacuna_event event);

#endif
