/* SPDX-License-Identifier: GPL-2.0-only */
/* Answering traps: the event is looked at, and what the trap displaced is emulated. */
#ifndef LACUNA_TRAP_H
#define LACUNA_TRAP_H

#include <linux/kvm_host.h>

#include "guest.h"

/* At a hypercall, in a vCPU's thread. True if it was one of our traps: then *ret is what KVM's handler would return. */
bool lac_trap_answer(struct lac_guest *guest, struct kvm_vcpu *vcpu, int *ret);

#endif
