// SPDX-License-Identifier: GPL-2.0-only
#include "replacement.h"

#include <linux/kvm_host.h>

#include "hunt.h"
#include "kvm.h"
#include "look.h"
#include "orders.h"
#include "registry.h"
#include "trap.h"

/* A function that is compiled into its callers is not redirected there: a virtual machine could go unnoticed. */
#ifdef CONFIG_LTO_CLANG
#error "a kernel that is optimised as a whole (CONFIG_LTO_CLANG) is not supported"
#endif

static int emulate_cpuid(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest = lac_registry_find(vcpu->kvm);
	int ret;

	if (guest) {
		lac_look_at_cpuid(guest, vcpu);
		lac_guest_put(guest);
	}
	ret = lac_kvm_cpuid(vcpu);
	lac_hook_leave();
	return ret;
}

/*
 * KVM asks this before it looks what is to be injected into a vCPU: after each timer interrupt, and when the vCPU has slept.
 * Only for guests that ran before they were armed, or were armed late: CPUID comes first in a boot. kvm_emulate_halt() would
 * not do: where HLT is handled on the fast path (handle_fastpath_hlt()), KVM calls it with interrupts off.
 */
static int accept_events(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest = lac_registry_find(vcpu->kvm);
	int ret;

	if (guest) {
		lac_look_at_event(guest, vcpu);
		lac_guest_put(guest);
	}
	ret = lac_kvm_accept_events(vcpu);
	lac_hook_leave();
	return ret;
}

static int emulate_hypercall(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest = lac_registry_find(vcpu->kvm);
	int ret;

	if (!guest || !lac_trap_answer(guest, vcpu, &ret))
		ret = lac_kvm_hypercall(vcpu);
	if (guest)
		lac_guest_put(guest);
	lac_hook_leave();
	return ret;
}

/* The VMM does not copy memory before the change is complete, and that is when this has returned. */
static void memory_committed(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
			     enum kvm_mr_change change)
{
	struct lac_guest *guest = lac_registry_find(kvm);

	lac_kvm_memory_committed(kvm, old, new, change);
	if (guest) {
		lac_hunt_memory_changed(guest, kvm);
		lac_guest_put(guest);
	}
	lac_hook_leave();
}

static void vcpu_created(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest;

	lac_kvm_vcpu_created(vcpu);
	guest = lac_registry_created(vcpu->kvm);
	if (guest) {
		lac_orders_ask(guest, LACUNA_EVENT_CREATED);
		lac_guest_put(guest);
	}
	lac_hook_leave();
}

static void registers_were_set(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	if (lac_kvm_paging(vcpu) ? lac_hunt_was_restored(guest) : lac_hunt_was_reset(guest))
		lac_orders_ask(guest, LACUNA_EVENT_RESET);
}

/* A VMM sets it when it has made a vCPU, has reset it, or has restored one that was saved. */
static int set_mp_state(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp_state)
{
	int ret = lac_kvm_set_mp_state(vcpu, mp_state);
	struct lac_guest *guest = lac_kvm_boot_cpu(vcpu) ? lac_registry_find(vcpu->kvm) : NULL;

	if (guest) {
		registers_were_set(guest, vcpu);
		lac_guest_put(guest);
	}
	lac_hook_leave();
	return ret;
}

static void vm_destroyed(struct kvm *kvm)
{
	lac_registry_gone(kvm);
	lac_kvm_vm_destroyed(kvm);
	lac_hook_leave();
}

const struct lac_replacement lac_replacements[LAC_HOOKS] = {
	[LAC_HOOK_VCPU_CREATED] = { "kvm_arch_vcpu_postcreate", vcpu_created },
	[LAC_HOOK_MP_STATE] = { "kvm_arch_vcpu_ioctl_set_mpstate", set_mp_state },
	[LAC_HOOK_VM_DESTROYED] = { "kvm_arch_destroy_vm", vm_destroyed },
	[LAC_HOOK_CPUID] = { "kvm_emulate_cpuid", emulate_cpuid },
	[LAC_HOOK_EVENTS] = { "kvm_apic_accept_events", accept_events },
	[LAC_HOOK_HYPERCALL] = { "kvm_emulate_hypercall", emulate_hypercall },
	[LAC_HOOK_MEMORY] = { "kvm_arch_commit_memory_region", memory_committed },
};
