/* SPDX-License-Identifier: GPL-2.0-only */
/* All guests there are, from their birth to their death. */
#ifndef LACUNA_REGISTRY_H
#define LACUNA_REGISTRY_H

#include "guest.h"

int lac_registry_init(void);
/* Ends all hunts, and returns when nothing of them is left. */
void lac_registry_exit(void);

/* Get: the caller puts. NULL: none. */
struct lac_guest *lac_registry_find(const struct kvm *kvm);
struct lac_guest *lac_registry_find_id(u32 id);
/* The guest with the lowest number from @id on. */
struct lac_guest *lac_registry_next(u32 id);

/* A vCPU of it has been made in a thread of the VMM. Get: the caller puts. NULL if it is known already, or cannot be. */
struct lac_guest *lac_registry_created(struct kvm *kvm);
/* A virtual machine that has been running already, whose file the caller holds. Get: the caller puts. NULL: out of memory. */
struct lac_guest *lac_registry_adopt(struct kvm *kvm, pid_t vmm_pid);
void lac_registry_gone(struct kvm *kvm);

#endif
