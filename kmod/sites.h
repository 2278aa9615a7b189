/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The trap sites of a guest, and when which of them is armed: only while what it tells is still wanted, and while somebody runs who
 * can tell it. Unless said otherwise the guest's lock is held, and the first error of any site is returned.
 */
#ifndef LACUNA_SITES_H
#define LACUNA_SITES_H

#include "site.h"

struct lac_guest;

/* Finds them all in a running kernel. -EXDEV if a site may have a vCPU in the middle of it. */
int lac_sites_locate(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space);
void lac_sites_forget(struct lac_guest *guest);

/* Whoever copies the page of a site copies the trap with it, to where no module answers it: is one about to be copied? */
bool lac_sites_are_logged(const struct lac_guest *guest, struct kvm *kvm);

/* Those that a hunt begins with. */
int lac_sites_arm_first(struct lac_guest *guest, struct kvm_vcpu *vcpu);

/* All of them, in the VMM's address space; @vcpu may be NULL. */
int lac_sites_release(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu);

/* Needs no lock. */
bool lac_sites_any_armed(const struct lac_guest *guest);

/*
 * In a vCPU's thread, engine_lock held too, after an event of the site @kind: arms those that are needed now and releases the others.
 * @builtin: it was an initcall of the kernel itself.
 */
int lac_sites_move(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, bool builtin);

/* In the VMM's address space, engine_lock held too: arms again what was released until process 1 runs a program, if it does. */
int lac_sites_rouse(struct lac_guest *guest, struct kvm *kvm);

#endif
