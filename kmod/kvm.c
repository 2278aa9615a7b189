// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "kvm.h"

#include <lacuna/abi.h>

#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/ibt.h>
#include <asm/processor.h>

/*
 * From 6.18 on KVM exports most of these to its own vendor modules only, and some were never exported: all are found the
 * same way, by name. kvm_get_kvm() and kvm_put_kvm() are linked against, which keeps kvm.ko loaded.
 */
static struct {
	void (*vcpu_created)(struct kvm_vcpu *vcpu);
	void (*vm_destroyed)(struct kvm *kvm);
	int (*cpuid)(struct kvm_vcpu *vcpu);
	int (*hypercall)(struct kvm_vcpu *vcpu);
	void (*memory_committed)(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
				 enum kvm_mr_change change);
	int (*emulate)(struct kvm_vcpu *vcpu, void *insn, int insn_len);
	unsigned long (*linear_rip)(struct kvm_vcpu *vcpu);
	void (*get_segment)(struct kvm_vcpu *vcpu, struct kvm_segment *var, int seg);
	int (*read_guest)(struct kvm *kvm, gpa_t gpa, void *data, unsigned long len);
	unsigned long (*gfn_to_hva)(struct kvm *kvm, gfn_t gfn);
	struct kvm_memory_slot *(*gfn_to_memslot)(struct kvm *kvm, gfn_t gfn);
	void (*mark_page_dirty)(struct kvm *kvm, gfn_t gfn);
	bool (*get_safe)(struct kvm *kvm);
} kvm_functions;

static const struct {
	const char *name;
	void **to;
} names[] = {
	{ "kvm_arch_vcpu_postcreate", (void **)&kvm_functions.vcpu_created },
	{ "kvm_arch_destroy_vm", (void **)&kvm_functions.vm_destroyed },
	{ "kvm_emulate_cpuid", (void **)&kvm_functions.cpuid },
	{ "kvm_emulate_hypercall", (void **)&kvm_functions.hypercall },
	{ "kvm_arch_commit_memory_region", (void **)&kvm_functions.memory_committed },
	{ "kvm_emulate_instruction_from_buffer", (void **)&kvm_functions.emulate },
	{ "kvm_get_linear_rip", (void **)&kvm_functions.linear_rip },
	{ "kvm_get_segment", (void **)&kvm_functions.get_segment },
	{ "kvm_read_guest", (void **)&kvm_functions.read_guest },
	{ "gfn_to_hva", (void **)&kvm_functions.gfn_to_hva },
	{ "gfn_to_memslot", (void **)&kvm_functions.gfn_to_memslot },
	{ "mark_page_dirty", (void **)&kvm_functions.mark_page_dirty },
	{ "kvm_get_kvm_safe", (void **)&kvm_functions.get_safe },
};

/* Where a probe on the function would go is where it starts, or just behind its ENDBR (arch_adjust_kprobe_addr()). */
static void *find_function(const char *name)
{
	struct kprobe probe = { .symbol_name = name };
	u8 *address;

	if (register_kprobe(&probe))
		return NULL;
	address = (u8 *)probe.addr;
	unregister_kprobe(&probe);
	if (is_endbr(*(u32 *)(address - 4)))
		address -= 4;
	return address;
}

int lac_kvm_init(void)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		*names[i].to = find_function(names[i].name);
		if (!*names[i].to) {
			pr_err("this kernel's KVM has no function %s that can be found: this version of KVM is not supported\n",
			       names[i].name);
			return -ENOENT;
		}
	}
	return 0;
}

void lac_kvm_vcpu_created(struct kvm_vcpu *vcpu)
{
	kvm_functions.vcpu_created(vcpu);
}

void lac_kvm_vm_destroyed(struct kvm *kvm)
{
	kvm_functions.vm_destroyed(kvm);
}

int lac_kvm_cpuid(struct kvm_vcpu *vcpu)
{
	return kvm_functions.cpuid(vcpu);
}

int lac_kvm_hypercall(struct kvm_vcpu *vcpu)
{
	return kvm_functions.hypercall(vcpu);
}

void lac_kvm_memory_committed(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
			      enum kvm_mr_change change)
{
	kvm_functions.memory_committed(kvm, old, new, change);
}

bool lac_kvm_ordinary(struct kvm_vcpu *vcpu)
{
	return !(vcpu->arch.hflags & (HF_GUEST_MASK | HF_SMM_MASK));
}

bool lac_kvm_private(struct kvm_vcpu *vcpu)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0)
	if (kvm_arch_has_private_mem(vcpu->kvm))
		return true;
#endif
	return vcpu->arch.guest_state_protected;
}

u64 lac_kvm_rip(struct kvm_vcpu *vcpu)
{
	return kvm_functions.linear_rip(vcpu);
}

u64 lac_kvm_cr3(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.root_mmu.get_guest_pgd(vcpu);
}

/* Never cached: the world switch saves it at every exit. */
u64 lac_kvm_rdi(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.regs[VCPU_REGS_RDI];
}

u64 lac_kvm_gs_base(struct kvm_vcpu *vcpu)
{
	struct kvm_segment gs;

	kvm_functions.get_segment(vcpu, &gs, VCPU_SREG_GS);
	return gs.base;
}

/* CR0.PG, CR4.LA57 and EFER.LMA are never left to the guest, so KVM's copies are up to date. */
bool lac_kvm_paging(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.cr0 & X86_CR0_PG;
}

bool lac_kvm_long_mode(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.efer & EFER_LMA;
}

bool lac_kvm_la57(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.cr4 & X86_CR4_LA57;
}

bool lac_kvm_boot_cpu(struct kvm_vcpu *vcpu)
{
	return vcpu->vcpu_id == vcpu->kvm->arch.bsp_vcpu_id;
}

/* What KVM returns is whether to enter the guest again; whether anything was executed, RIP tells. */
enum lac_emulated lac_kvm_emulate(struct kvm_vcpu *vcpu, const u8 *bytes, u32 length)
{
	u64 rip = lac_kvm_rip(vcpu);
	u8 buffer[LACUNA_SITE_BYTES];
	int ret;

	memcpy(buffer, bytes, length);
	ret = kvm_functions.emulate(vcpu, buffer, (int)length);
	if (lac_kvm_rip(vcpu) == rip + length)
		return ret ? LAC_EMULATED : LAC_EMULATED_EXIT;
	if (ret)
		return LAC_NOT_YET;
	/* handle_emulation_failure() has queued an #UD, which is not the guest's fault */
	vcpu->arch.exception.pending = false;
	vcpu->arch.exception.injected = false;
	return LAC_CANNOT;
}

const u8 *lac_kvm_trap(void)
{
	static const u8 vmcall[] = { 0x0f, 0x01, 0xc1 }, vmmcall[] = { 0x0f, 0x01, 0xd9 };

	return boot_cpu_data.x86_vendor == X86_VENDOR_AMD || boot_cpu_data.x86_vendor == X86_VENDOR_HYGON ? vmmcall :
													     vmcall;
}

struct kvm *lac_kvm_get(struct kvm *kvm)
{
	return kvm_functions.get_safe(kvm) ? kvm : NULL;
}

int lac_kvm_read(struct kvm *kvm, u64 gpa, void *buffer, u32 len)
{
	return kvm_functions.read_guest(kvm, gpa, buffer, len);
}

/*
 * mark_page_dirty() of 6.1 insists on running in a vCPU's thread, for the sake of the dirty ring. Elsewhere the bitmap, which
 * is what a VMM without a ring uses, is set as it does.
 */
static void mark_dirty(struct kvm *kvm, struct kvm_vcpu *vcpu, gfn_t gfn)
{
	struct kvm_memory_slot *slot;

	if (vcpu) {
		kvm_functions.mark_page_dirty(kvm, gfn);
		return;
	}
	slot = kvm_functions.gfn_to_memslot(kvm, gfn);
	if (slot && slot->dirty_bitmap)
		set_bit_le(gfn - slot->base_gfn, slot->dirty_bitmap);
}

int lac_kvm_exchange(struct kvm *kvm, struct kvm_vcpu *vcpu, u64 gpa, u64 *old, u64 new)
{
	unsigned long hva = kvm_functions.gfn_to_hva(kvm, gpa_to_gfn(gpa));
	u64 __user *at;
	int err;

	if (kvm_is_error_hva(hva))
		return -EFAULT;
	at = (u64 __user *)(hva + offset_in_page(gpa));
	err = __try_cmpxchg_user(at, old, new, fault);
	if (err)
		return err == 1 ? -EAGAIN : err;
	mark_dirty(kvm, vcpu, gpa_to_gfn(gpa));
	return 0;
}

bool lac_kvm_is_logged(struct kvm *kvm, u64 gpa)
{
	struct kvm_memory_slot *slot = kvm_functions.gfn_to_memslot(kvm, gpa_to_gfn(gpa));

	return slot && slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

bool lac_kvm_in_space(struct kvm *kvm, void (*call)(struct kvm *kvm, void *data), void *data)
{
	int srcu;

	if (!mmget_not_zero(kvm->mm))
		return false;
	kthread_use_mm(kvm->mm);
	srcu = srcu_read_lock(&kvm->srcu);
	call(kvm, data);
	srcu_read_unlock(&kvm->srcu, srcu);
	kthread_unuse_mm(kvm->mm);
	mmput(kvm->mm);
	return true;
}

/*
 * Between the exit and the end of its handling a vCPU thread first has interrupts off (waited for by synchronize_rcu()),
 * then, after a few instructions without either (which a voluntary switch must have ended), holds kvm->srcu until it enters
 * the guest again or leaves to user space (vcpu_run(), vcpu_enter_guest()).
 */
void lac_kvm_quiesce(struct kvm *kvm)
{
	synchronize_rcu();
	synchronize_rcu_tasks();
	synchronize_srcu(&kvm->srcu);
}
