/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A guest, and the registry of all of them.
 *
 *   created -> waiting -> trapping -> restoring -> done | failed | ignored
 *      \-> ignored           \-> waiting             \-> created      (the guest was reset)
 *
 * and from everywhere to gone. Locks, in this order: filter (held while the engine is used), lock (state and sites),
 * kvm_lock (spinlock: the pointer to the virtual machine). vCPU threads, netlink and the work queue all come here.
 */
#ifndef LACUNA_GUEST_H
#define LACUNA_GUEST_H

#include <lacuna/abi.h>
#include <linux/atomic.h>
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
struct kvm_vcpu;
struct lac_recording;

#define LAC_PENDING_EXITS 64

#define LAC_MEMORY_IS_COPIED "the guest's memory is being copied (snapshot, save or migration)"

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
	struct list_head entry;
	u32 id;
	pid_t vmm_pid;
	u64 created_ns;

	spinlock_t kvm_lock;
	struct kvm *kvm; /* NULL once the virtual machine is gone */

	struct mutex lock;
	u8 state; /* enum lacuna_guest_state */
	u8 final; /* while restoring: what comes then */
	bool hooked;
	const char *reason; /* a constant, or NULL */
	struct lac_orders orders;
	const struct lac_kernel *kernel; /* the one that runs */
	u64 slide;
	u64 text_gpa;
	u8 paging; /* enum lacuna_paging */
	u64 root; /* GPA of the kernel's own page-table root; 0: not known yet */
	u64 waiting_ns; /* since when it has been waiting for a kernel, as lac_guest_time() */
	bool seen_firmware; /* the boot CPU without paging, since the orders came; else the kernel has been running since who knows when */
	unsigned long look_again; /* in jiffies: when an interrupt is the next occasion to look for a kernel */
	bool retiring; /* the end of the hunt is being told */
	bool reset_meanwhile; /* reset while a hunt was ending */
	u32 strange_exits; /* of a kernel that none of the descriptors fits */
	struct lac_site sites[LACUNA_SITE_KINDS];
	wait_queue_head_t decided;

	struct mutex filter;
	struct lac_engine *engine;
	struct lac_recording *recording;
	u32 members_nr;
	struct lacuna_member_report members[LACUNA_MAX_MEMBERS];

	spinlock_t pending_lock; /* exits that came while the filter was busy */
	u64 pending[LAC_PENDING_EXITS];
	u32 pending_nr;

	struct work_struct end_work; /* end it from outside of a vCPU's thread */
	struct delayed_work deadline_work;
	struct work_struct retire_work; /* after the bytes are back */

	spinlock_t stats_lock;
	struct lacuna_stats stats;
};

int lac_guests_init(void);
/* Ends all hunts, and returns when nothing of them is left. */
void lac_guests_exit(void);

/* Get: the caller puts. NULL: none. */
struct lac_guest *lac_guest_find(const struct kvm *kvm);
struct lac_guest *lac_guest_find_id(u32 id);
/* The guest with the lowest number from @id on. */
struct lac_guest *lac_guest_next(u32 id);
void lac_guest_put(struct lac_guest *guest);

/* The virtual machine behind the guest: NULL if it is going away; put with kvm_put_kvm(). */
struct kvm *lac_guest_kvm(struct lac_guest *guest);

/* What guests armed from now on are hunted with. The set has been checked. 0 or -ENOMEM. */
int lac_guests_set_constraints(const struct lacuna_constraints *set);

/* A virtual machine's first vCPU has been made: waits, for a bounded time, to be told what to do with it. */
/* A virtual machine that has been running already, whose file the caller holds; get: the caller puts. NULL: out of memory. */
struct lac_guest *lac_guest_adopt(struct kvm *kvm, pid_t vmm_pid);
void lac_guest_created(struct kvm *kvm);
/* The virtual machine has been reset. If its hunt is over, it is asked about as if it were new: its kernel may be another. */
void lac_guest_was_reset(struct kvm *kvm);
/* Its registers have come from somewhere else while it was waited for: a snapshot, or another host. */
void lac_guest_was_restored(struct kvm *kvm);
void lac_guest_gone(struct kvm *kvm);

/* 0; -EBUSY: it is being hunted; -ESHUTDOWN: it is gone; -ENODATA: no constraints yet; -ENOMEM; error of the hooks. */
int lac_guest_arm(struct lac_guest *guest, struct lac_orders *orders);
int lac_guest_ignore(struct lac_guest *guest);
/* Puts the bytes back and lets it go, from a context that is not the guest's. */
void lac_guest_disarm(struct lac_guest *guest);

/* In the guest's address space, @vcpu may be NULL: ends the hunt with @final. @why is a constant. */
void lac_guest_end(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu, u8 final, const char *why);

/* In a vCPU's thread, filter and lock held: the kernel runs; and: the guest was reset. 0 or a negative errno. */
int lac_guest_start(struct lac_guest *guest, struct kvm_vcpu *vcpu, const struct lac_kernel *kernel, u64 slide,
		    struct lac_space *space);
/* The same of a kernel of which nothing is to be learned: it is only noted where it runs. */
int lac_guest_recognise(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space);
void lac_guest_restart(struct lac_guest *guest, struct kvm_vcpu *vcpu);

/* In a thread of the VMM: a memory slot was changed. Ends the hunt if what it has written might be copied to elsewhere. */
void lac_guest_memory_changed(struct lac_guest *guest, struct kvm *kvm);

/* Nanoseconds since the guest was created. */
u64 lac_guest_time(const struct lac_guest *guest);

/* Reads guest memory for somebody outside: 0 or a negative errno. The range lies in one page. */
int lac_guest_read(struct lac_guest *guest, u64 gpa, void *buffer, u32 len);

#endif
