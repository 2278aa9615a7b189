/* SPDX-License-Identifier: GPL-2.0-only */
/* A trap site: the few bytes of the guest's kernel that are replaced by VMCALL or VMMCALL. */
#ifndef LACUNA_SITE_H
#define LACUNA_SITE_H

#include "kernel.h"
#include "kvm.h"

struct lac_site {
	struct lac_site_descriptor descriptor;
	u64 va; /* run time; 0: not located */
	u64 gpa;
	unsigned long hva; /* where the VMM has what the trap was written to, wherever its slot may be now */
	bool armed;
};

/*
 * Finds the site in a running guest and compares all bytes that are known of it: 0, or a negative errno, -EILSEQ if they
 * differ.
 */
int lac_site_locate(struct lac_site *site, const struct lac_site_descriptor *descriptor, u64 slide,
		    struct lac_space *space);

/* Is there no instruction boundary inside of the bytes to be replaced, where a vCPU could be about to continue? */
bool lac_site_is_single(const struct lac_site_descriptor *descriptor);

/*
 * In the VMM's address space; @vcpu may be NULL. Idempotent. Bytes that somebody else changed are left alone. Release returns 0 when
 * no trap is there any more, be it that the memory is not, or -EAGAIN.
 */
int lac_site_arm(struct lac_site *site, struct kvm *kvm, struct kvm_vcpu *vcpu);
int lac_site_release(struct lac_site *site, struct kvm *kvm, struct kvm_vcpu *vcpu);

/*
 * Emulates what the trap displaced, as far as it gets. @amid: the guest will go on amid the bytes that were replaced, which must
 * be its own again before it does.
 */
enum lac_emulated lac_site_emulate(const struct lac_site *site, struct kvm_vcpu *vcpu, bool *amid);

#endif
