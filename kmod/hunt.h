/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The hunt for a guest's offsets: begins with orders, starts when a kernel runs, and ends with the guest's own bytes back at
 * its trap sites. In between the guest may be reset, which is what every new boot is called here, kexec's too.
 */
#ifndef LACUNA_HUNT_H
#define LACUNA_HUNT_H

#include "guest.h"

struct kvm_vcpu;

#define LAC_MEMORY_IS_COPIED "the guest's memory is being copied (snapshot, save or migration)"

/* Of a guest that has just been made. */
void lac_hunt_init(struct lac_guest *guest);

/* What a hunt needs. With none of the guest's locks held: others' hooks may be on their way out. 0 or a negative errno. */
int lac_hunt_get_hooks(void);
void lac_hunt_put_hooks(void);

/* Begins to wait for a kernel: takes over hooks, @engine, and what @orders hold. engine_lock and lock are held, and no hunt is on. */
void lac_hunt_begin(struct lac_guest *guest, struct lac_engine *engine, struct lac_orders *orders);
/* While one waits for a kernel, lock held: counts and times anew how long none comes. */
void lac_hunt_wait_anew(struct lac_guest *guest);

/*
 * In a vCPU's thread, engine_lock and lock held: the kernel runs; the same of a kernel of which nothing is to be learned: it is
 * only noted where it runs; the guest was reset while its kernel was trapped, and its next one is waited for. 0 or a negative
 * errno.
 */
int lac_hunt_start(struct lac_guest *guest, struct kvm_vcpu *vcpu, const struct lac_kernel *kernel, u64 slide,
		   struct lac_space *space);
int lac_hunt_recognise(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space);
void lac_hunt_reset(struct lac_guest *guest, struct kvm_vcpu *vcpu);

/*
 * In a vCPU's thread, engine_lock held, after an event of the site @kind: arms the sites that are needed now, releases the others,
 * ends the hunt if none is. @builtin: it was an initcall of the kernel itself.
 */
void lac_hunt_move_sites(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, bool builtin);

/* In the guest's address space, engine_lock held: all is known of tasks, and not by a trap. The sites are released. */
void lac_hunt_tasks_known(struct lac_guest *guest, struct kvm *kvm);

/* In a vCPU's thread: if it is this one that runs user space, looks from now on whether process 1 does. */
void lac_hunt_wake(struct lac_guest *guest, struct kvm_vcpu *vcpu);

/* In the guest's address space, engine_lock held: arms again what was released until process 1 runs a program, if it does. */
void lac_hunt_rouse(struct lac_guest *guest, struct kvm *kvm);

/* In the guest's address space, @vcpu may be NULL: ends the hunt with @final. @why is a constant. */
void lac_hunt_end(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu, u8 final, const char *why);
/* Less than a second ago, and its bytes are being put back. */
bool lac_hunt_has_just_ended(const struct lac_guest *guest);

/* In a thread of the VMM: a memory slot was changed. Ends the hunt if what it has written might be copied to elsewhere. */
void lac_hunt_memory_changed(struct lac_guest *guest, struct kvm *kvm);
/* From a context that is not the guest's: orders that the bytes be put back and it be let go, ... */
void lac_hunt_order_end(struct lac_guest *guest);
/* ... and waits for a moment until it is. 0; -EINPROGRESS if it takes longer, since its memory does not answer; or -EINTR. */
int lac_hunt_disarm(struct lac_guest *guest);
/*
 * After lac_hunt_order_end(), no hunt begins any more: nothing is left of the hunt when this returns, and that is not long after
 * @until, in jiffies, even if the bytes could not be put back.
 */
void lac_hunt_stop(struct lac_guest *guest, unsigned long until);

/*
 * The VMM has reset the guest. True: its hunt is over, and it is to be asked about as if it were new: its kernel may be another.
 * While a hunt is ending there is nothing to be asked: that is told at its end.
 */
bool lac_hunt_was_reset(struct lac_guest *guest);
/*
 * Its registers have come from somewhere else: a snapshot, or another host. True: it had been given up while it was waited for,
 * and is to be asked about again.
 */
bool lac_hunt_was_restored(struct lac_guest *guest);
/* The virtual machine goes away: the guest has gone. */
void lac_hunt_gone(struct lac_guest *guest);

#endif
