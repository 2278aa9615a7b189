/* SPDX-License-Identifier: GPL-2.0-only */
/* What runs in place of KVM's functions, in the threads of vCPUs. */
#ifndef LACUNA_TRAP_H
#define LACUNA_TRAP_H

struct kvm;
struct kvm_vcpu;

void lac_vcpu_created(struct kvm_vcpu *vcpu);
void lac_vm_destroyed(struct kvm *kvm);
int lac_emulate_cpuid(struct kvm_vcpu *vcpu);
int lac_emulate_hypercall(struct kvm_vcpu *vcpu);

#endif
