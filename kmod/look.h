/* SPDX-License-Identifier: GPL-2.0-only */
/* How a guest's kernel is found: at a CPUID exit, which every kernel takes early, or at an interrupt. */
#ifndef LACUNA_LOOK_H
#define LACUNA_LOOK_H

#include <linux/kvm_host.h>

#include "guest.h"

/* In a vCPU's thread: the guest executes CPUID; an event is accepted for the vCPU. */
void lac_look_at_cpuid(struct lac_guest *guest, struct kvm_vcpu *vcpu);
void lac_look_at_event(struct lac_guest *guest, struct kvm_vcpu *vcpu);

#endif
