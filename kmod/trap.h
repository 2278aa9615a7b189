/* SPDX-License-Identifier: GPL-2.0-only */
/* What runs in place of KVM's functions, in the threads of the VMM. */
#ifndef LACUNA_TRAP_H
#define LACUNA_TRAP_H

#include <linux/kvm_host.h>

void lac_vcpu_created(struct kvm_vcpu *vcpu);
int lac_mp_state_set(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp_state);
void lac_vm_destroyed(struct kvm *kvm);
int lac_emulate_cpuid(struct kvm_vcpu *vcpu);
int lac_accept_events(struct kvm_vcpu *vcpu);
int lac_emulate_hypercall(struct kvm_vcpu *vcpu);
void lac_memory_committed(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
			  enum kvm_mr_change change);

#endif
