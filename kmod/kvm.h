/* SPDX-License-Identifier: GPL-2.0-only */
/* All that is needed of KVM, and the only place that knows of its versions. */
#ifndef LACUNA_KVM_H
#define LACUNA_KVM_H

#include <lacuna/abi.h>
#include <linux/kvm_host.h>

/* Finds KVM's functions: 0, or a negative errno after saying what is missing. */
int lac_kvm_init(void);

/* The originals of what is hooked. */
void lac_kvm_vcpu_created(struct kvm_vcpu *vcpu);
int lac_kvm_set_mp_state(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp_state);
void lac_kvm_vm_destroyed(struct kvm *kvm);
int lac_kvm_cpuid(struct kvm_vcpu *vcpu);
int lac_kvm_accept_events(struct kvm_vcpu *vcpu);
int lac_kvm_hypercall(struct kvm_vcpu *vcpu);
void lac_kvm_memory_committed(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
			      enum kvm_mr_change change);

/* Does the vCPU run ordinary guest code: no nested guest, no SMM? */
bool lac_kvm_ordinary(struct kvm_vcpu *vcpu);

/* Are the guest's registers or memory private to it (SEV-ES, SEV-SNP, TDX)? Plain SEV does not show here: see look.c. */
bool lac_kvm_private(struct kvm_vcpu *vcpu);

/* Registers, fetched as KVM itself does: on VMX some are read from the VMCS when asked for. */
u64 lac_kvm_rip(struct kvm_vcpu *vcpu);
u64 lac_kvm_cr3(struct kvm_vcpu *vcpu);
/* The first argument of a function of the kernel: RDI, or EAX on i386, which is built with -mregparm=3. */
u64 lac_kvm_argument(struct kvm_vcpu *vcpu);
/* Where the kernel keeps what belongs to this CPU: the base of GS, or of FS on i386. */
u64 lac_kvm_percpu_base(struct kvm_vcpu *vcpu);
u64 lac_kvm_stack_pointer(struct kvm_vcpu *vcpu);
int lac_kvm_cpl(struct kvm_vcpu *vcpu);
bool lac_kvm_paging(struct kvm_vcpu *vcpu);
bool lac_kvm_long_mode(struct kvm_vcpu *vcpu);
enum lacuna_paging lac_kvm_paging_mode(struct kvm_vcpu *vcpu);
bool lac_kvm_boot_cpu(struct kvm_vcpu *vcpu);

enum lac_emulated {
	LAC_EMULATED,
	LAC_EMULATED_EXIT, /* done, and the VMM comes next: it single-steps the guest, or something was stored to a device of its */
	LAC_UNFINISHED_EXIT, /* the VMM comes next, KVM finishes it then, or the guest is back here */
	LAC_NOT_YET, /* an exception comes first, then the guest is back here */
	LAC_CANNOT, /* KVM's emulator does not know it; the guest is as it was */
};

/* Emulates one instruction at RIP. After one of the two _EXITs the guest must not be entered before the VMM has been told. */
enum lac_emulated lac_kvm_emulate(struct kvm_vcpu *vcpu, const u8 *bytes, u32 length);

/* The trap instruction of this host: VMMCALL on AMD, VMCALL on Intel. */
const u8 *lac_kvm_trap(void);

/* NULL if the virtual machine is going away. */
struct kvm *lac_kvm_get(struct kvm *kvm);

/* The virtual machine behind a file that a VMM holds, if that is what it is and it has a vCPU; as long as the file is held. */
struct kvm *lac_kvm_of_file(struct file *file);

/*
 * Guest memory, in the VMM's address space (in a vCPU's thread, or in what lac_kvm_in_space() calls), with kvm->srcu or
 * slots_lock held, which keep the memory slots in place. A range lies in one page. Nothing here waits for memory, whoever
 * answers for it: -EAGAIN if it is not there now, -EFAULT if there is none.
 */

/* Where the VMM has it; 0 if there is no slot for it, or, @to_write, only one that the guest must not write to. */
unsigned long lac_kvm_hva(struct kvm *kvm, u64 gpa, bool to_write);

int lac_kvm_read(struct kvm *kvm, u64 gpa, void *buffer, u32 len);
int lac_kvm_read_hva(struct kvm *kvm, unsigned long hva, void *buffer, u32 len);

/*
 * Replaces the aligned 8 bytes at @hva by @new with a single store if they are *@old, and marks the page dirty if it still is that
 * at @gpa. 0; 1 if they are not *@old, which is set to what they are; or a negative errno. @vcpu: whose thread this is, or NULL.
 */
int lac_kvm_exchange(struct kvm *kvm, struct kvm_vcpu *vcpu, u64 gpa, unsigned long hva, u64 *old, u64 new);

/* Does KVM log writes to that page? The VMM has asked for it, for instance because it is about to copy the guest's memory. */
bool lac_kvm_is_logged(struct kvm *kvm, u64 gpa);

/* For kernel threads: calls @call in the VMM's address space; false if that is gone. */
bool lac_kvm_in_space(struct kvm *kvm, void (*call)(struct kvm *kvm, void *data), void *data);

/*
 * Every vCPU exit that was taken before the first of these has been handled when the second says so, given what the first returned.
 * That may be never: KVM itself waits for a guest's memory when it handles an exit.
 */
unsigned long lac_kvm_start_quiescing(struct kvm *kvm);
bool lac_kvm_is_quiet(struct kvm *kvm, unsigned long since);

#endif
