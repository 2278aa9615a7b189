// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "kvm.h"

#include <linux/delay.h>
#include <linux/fs.h>
#include <linux/highmem.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/magic.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/rcupdate.h>
#include <linux/sched/mm.h>
#include <linux/static_call.h>
#include <linux/uaccess.h>
#include <linux/version.h>
#include <asm/ibt.h>
#include <asm/processor.h>

#if LINUX_VERSION_CODE >= KERNEL_VERSION(7, 2, 0)
#define VCPU_EXREG_CR3 VCPU_REG_CR3
#endif

/*
 * From 6.18 on KVM exports most of these to its own vendor modules only, and some were never exported: all are found the
 * same way, by name. kvm_get_kvm() and kvm_put_kvm() are linked against, which keeps kvm.ko loaded.
 *
 * They are called as static calls, which are direct calls once the function is known. On a host that enforces IBT an
 * indirect call must lead to an ENDBR, and the kernel has removed that of functions whose address it never takes.
 */
DEFINE_STATIC_CALL_NULL(vcpu_created, void(struct kvm_vcpu *vcpu));
DEFINE_STATIC_CALL_NULL(set_mp_state, int(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp_state));
DEFINE_STATIC_CALL_NULL(vm_destroyed, void(struct kvm *kvm));
DEFINE_STATIC_CALL_NULL(cpuid, int(struct kvm_vcpu *vcpu));
DEFINE_STATIC_CALL_NULL(accept_events, int(struct kvm_vcpu *vcpu));
DEFINE_STATIC_CALL_NULL(hypercall, int(struct kvm_vcpu *vcpu));
DEFINE_STATIC_CALL_NULL(memory_committed, void(struct kvm *kvm, struct kvm_memory_slot *old,
					       const struct kvm_memory_slot *new, enum kvm_mr_change change));
DEFINE_STATIC_CALL_NULL(emulate, int(struct kvm_vcpu *vcpu, void *insn, int insn_len));
DEFINE_STATIC_CALL_NULL(linear_rip, unsigned long(struct kvm_vcpu *vcpu));
DEFINE_STATIC_CALL_NULL(get_cpl, int(struct kvm_vcpu *vcpu));
DEFINE_STATIC_CALL_NULL(segment_base, u64(struct kvm_vcpu *vcpu, int seg));
DEFINE_STATIC_CALL_NULL(cache_reg, void(struct kvm_vcpu *vcpu, enum kvm_reg reg));
DEFINE_STATIC_CALL_NULL(find_memslot, struct kvm_memory_slot *(struct kvm *kvm, gfn_t gfn));
DEFINE_STATIC_CALL_NULL(page_dirty, void(struct kvm *kvm, gfn_t gfn));
DEFINE_STATIC_CALL_NULL(get_safe, bool(struct kvm *kvm));
DEFINE_STATIC_CALL_NULL(file_is_kvm, bool(struct file *file));
DEFINE_STATIC_CALL_NULL(invalidate_start, int(struct mmu_notifier_range *range));
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
DEFINE_STATIC_CALL_NULL(invalidate_end, void(struct mmu_notifier_range *range));
#else
DEFINE_STATIC_CALL_NULL(invalidate_end, void(struct mmu_notifier_range *range, bool only_end));
#endif

#define FUNCTION(call, name) { name, &STATIC_CALL_KEY(call), STATIC_CALL_TRAMP_ADDR(call) }
static const struct {
	const char *name;
	struct static_call_key *key;
	void *trampoline;
} functions[] = {
	FUNCTION(vcpu_created, "kvm_arch_vcpu_postcreate"),
	FUNCTION(set_mp_state, "kvm_arch_vcpu_ioctl_set_mpstate"),
	FUNCTION(vm_destroyed, "kvm_arch_destroy_vm"),
	FUNCTION(cpuid, "kvm_emulate_cpuid"),
	FUNCTION(accept_events, "kvm_apic_accept_events"),
	FUNCTION(hypercall, "kvm_emulate_hypercall"),
	FUNCTION(memory_committed, "kvm_arch_commit_memory_region"),
	FUNCTION(emulate, "kvm_emulate_instruction_from_buffer"),
	FUNCTION(linear_rip, "kvm_get_linear_rip"),
	/* the trampolines of KVM's own static calls into its vendor module (kvm_x86_ops) */
	FUNCTION(get_cpl, "__SCT__kvm_x86_get_cpl"),
	FUNCTION(segment_base, "__SCT__kvm_x86_get_segment_base"),
	FUNCTION(cache_reg, "__SCT__kvm_x86_cache_reg"),
	FUNCTION(find_memslot, "gfn_to_memslot"),
	FUNCTION(page_dirty, "mark_page_dirty"),
	FUNCTION(get_safe, "kvm_get_kvm_safe"),
	FUNCTION(file_is_kvm, "file_is_kvm"),
	FUNCTION(invalidate_start, "__mmu_notifier_invalidate_range_start"),
	FUNCTION(invalidate_end, "__mmu_notifier_invalidate_range_end"),
};

/* is_endbr() takes a pointer from 6.15 on and is not exported. */
static bool is_endbr_or_was(u32 instruction)
{
#ifdef CONFIG_X86_KERNEL_IBT
	return instruction == gen_endbr_poison() || instruction == gen_endbr();
#else
	return false;
#endif
}

/* Where a probe on the function would go is where it starts, or just behind its ENDBR (arch_adjust_kprobe_addr()). */
static void *find_function(const char *name)
{
	struct kprobe probe = { .symbol_name = name, .flags = KPROBE_FLAG_DISABLED };
	u8 *address;

	if (register_kprobe(&probe))
		return NULL;
	address = (u8 *)probe.addr;
	unregister_kprobe(&probe);
	if (is_endbr_or_was(*(u32 *)(address - 4)))
		address -= 4;
	return address;
}

int lac_kvm_init(void)
{
	void *function;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(functions); i++) {
		function = find_function(functions[i].name);
		if (!function) {
			pr_err("this kernel's KVM has no function %s that can be found: this version of KVM is not supported\n",
			       functions[i].name);
			return -ENOENT;
		}
		__static_call_update(functions[i].key, functions[i].trampoline, function);
	}
	return 0;
}

void lac_kvm_vcpu_created(struct kvm_vcpu *vcpu)
{
	static_call(vcpu_created)(vcpu);
}

int lac_kvm_set_mp_state(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp_state)
{
	return static_call(set_mp_state)(vcpu, mp_state);
}

void lac_kvm_vm_destroyed(struct kvm *kvm)
{
	static_call(vm_destroyed)(kvm);
}

int lac_kvm_cpuid(struct kvm_vcpu *vcpu)
{
	return static_call(cpuid)(vcpu);
}

int lac_kvm_accept_events(struct kvm_vcpu *vcpu)
{
	return static_call(accept_events)(vcpu);
}

int lac_kvm_hypercall(struct kvm_vcpu *vcpu)
{
	return static_call(hypercall)(vcpu);
}

void lac_kvm_memory_committed(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
			      enum kvm_mr_change change)
{
	static_call(memory_committed)(kvm, old, new, change);
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
	return static_call(linear_rip)(vcpu);
}

/* As kvm_register_read_raw(): what the world switch has not saved is fetched when it is asked for. */
static void fetch(struct kvm_vcpu *vcpu, enum kvm_reg reg)
{
	if (!test_bit(reg, (unsigned long *)&vcpu->arch.regs_avail))
		static_call(cache_reg)(vcpu, reg);
}

u64 lac_kvm_cr3(struct kvm_vcpu *vcpu)
{
	fetch(vcpu, VCPU_EXREG_CR3);
	return vcpu->arch.cr3;
}

/* Neither register is ever cached: the world switch saves them at every exit. */
u64 lac_kvm_argument(struct kvm_vcpu *vcpu)
{
	return lac_kvm_long_mode(vcpu) ? vcpu->arch.regs[VCPU_REGS_RDI] : (u32)vcpu->arch.regs[VCPU_REGS_RAX];
}

u64 lac_kvm_percpu_base(struct kvm_vcpu *vcpu)
{
	return static_call(segment_base)(vcpu, lac_kvm_long_mode(vcpu) ? VCPU_SREG_GS : VCPU_SREG_FS);
}

u64 lac_kvm_stack_pointer(struct kvm_vcpu *vcpu)
{
	fetch(vcpu, VCPU_REGS_RSP);
	return vcpu->arch.regs[VCPU_REGS_RSP];
}

int lac_kvm_cpl(struct kvm_vcpu *vcpu)
{
	return static_call(get_cpl)(vcpu);
}

/* CR0.PG, CR4.PAE, CR4.LA57 and EFER.LMA are never left to the guest, so KVM's copies are up to date. */
bool lac_kvm_paging(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.cr0 & X86_CR0_PG;
}

bool lac_kvm_long_mode(struct kvm_vcpu *vcpu)
{
	return vcpu->arch.efer & EFER_LMA;
}

enum lacuna_paging lac_kvm_paging_mode(struct kvm_vcpu *vcpu)
{
	if (lac_kvm_long_mode(vcpu))
		return vcpu->arch.cr4 & X86_CR4_LA57 ? LACUNA_PAGING_5LEVEL : LACUNA_PAGING_4LEVEL;
	return vcpu->arch.cr4 & X86_CR4_PAE ? LACUNA_PAGING_PAE : LACUNA_PAGING_32BIT;
}

bool lac_kvm_boot_cpu(struct kvm_vcpu *vcpu)
{
	return vcpu->vcpu_id == vcpu->kvm->arch.bsp_vcpu_id;
}

/* What x86_emulate_instruction() looks at itself before it says that the VMM has to be asked. */
static bool waits_for_vmm(const struct kvm_vcpu *vcpu)
{
	return vcpu->mmio_needed || vcpu->arch.pio.count || vcpu->arch.complete_userspace_io;
}

/*
 * What KVM returns is whether to enter the guest again; whether anything was executed, RIP tells. A load from where no memory
 * is has not been, and KVM goes on with it when the VMM has run: to enter the guest before would leave that behind for some
 * later exit, at which KVM takes it for a fault of its own (complete_emulated_mmio()).
 */
enum lac_emulated lac_kvm_emulate(struct kvm_vcpu *vcpu, const u8 *bytes, u32 length)
{
	u64 rip = lac_kvm_rip(vcpu);
	u8 buffer[LACUNA_SITE_BYTES];
	bool done;
	int ret;

	memcpy(buffer, bytes, length);
	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
	ret = static_call(emulate)(vcpu, buffer, (int)length);
	done = lac_kvm_rip(vcpu) == rip + length;
	if (!ret && done)
		return LAC_EMULATED_EXIT;
	if (waits_for_vmm(vcpu))
		return LAC_UNFINISHED_EXIT;
	if (ret)
		return done ? LAC_EMULATED : LAC_NOT_YET;
	/* for instance a breakpoint that the VMM has set there */
	if (vcpu->run->exit_reason != KVM_EXIT_INTERNAL_ERROR)
		return LAC_UNFINISHED_EXIT;
	/* handle_emulation_failure() has queued an #UD, which is not the guest's fault */
	vcpu->run->exit_reason = KVM_EXIT_UNKNOWN;
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
	return static_call(get_safe)(kvm) ? kvm : NULL;
}

struct kvm *lac_kvm_of_file(struct file *file)
{
	struct kvm *kvm;

	if (!static_call(file_is_kvm)(file))
		return NULL;
	kvm = file->private_data; /* kvm_create_vm() and anon_inode_getfile() in kvm_dev_ioctl_create_vm() */
	return atomic_read(&kvm->online_vcpus) ? kvm : NULL;
}

static void assert_slots_stay(struct kvm *kvm)
{
	lockdep_assert(srcu_read_lock_held(&kvm->srcu) || lockdep_is_held(&kvm->slots_lock));
}

unsigned long lac_kvm_hva(struct kvm *kvm, u64 gpa, bool to_write)
{
	struct kvm_memory_slot *slot;

	assert_slots_stay(kvm);
	slot = static_call(find_memslot)(kvm, gpa_to_gfn(gpa));
	if (!slot || slot->flags & KVM_MEMSLOT_INVALID || (to_write && slot->flags & KVM_MEM_READONLY))
		return 0;
	return __gfn_to_hva_memslot(slot, gpa_to_gfn(gpa)) + offset_in_page(gpa);
}

/* Memory that the kernel has by itself, and that no program and no server has to be asked for: no device, no file of FUSE or NFS. */
static bool is_plain_memory(const struct vm_area_struct *vma)
{
	unsigned long magic;

	if (vma->vm_flags & (VM_IO | VM_PFNMAP))
		return false;
	if (!vma->vm_file)
		return true;
	magic = file_inode(vma->vm_file)->i_sb->s_magic;
	return magic == TMPFS_MAGIC || magic == HUGETLBFS_MAGIC;
}

static long fault_in(struct mm_struct *mm, unsigned long hva, unsigned int flags)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 5, 0)
	return get_user_pages_remote(mm, hva, 1, flags, NULL, NULL);
#else
	return get_user_pages_remote(mm, hva, 1, flags, NULL, NULL, NULL);
#endif
}

/*
 * What a page fault would do, as far as it can be done without waiting: neither for who answers for the page (userfaultfd), nor for
 * it to be read from a disk, which is begun (FOLL_NOWAIT: as KVM does it for asynchronous page faults), nor for mmap_lock, whose
 * holder may be waiting for one of them. 0, -EFAULT if there is no such memory, -EAGAIN if it is not there now.
 */
static int bring_in(struct kvm *kvm, unsigned long hva, bool to_write)
{
	struct vm_area_struct *vma;
	long got = 0;

	if (!mmap_read_trylock(kvm->mm))
		return -EAGAIN;
	vma = find_vma(kvm->mm, hva);
	if (!vma || vma->vm_start > hva)
		got = -ENOENT;
	else if (is_plain_memory(vma))
		got = fault_in(kvm->mm, hva, FOLL_NOWAIT | (to_write ? FOLL_WRITE : 0));
	mmap_read_unlock(kvm->mm);
	if (got == 1)
		return 0;
	return got == -ENOENT || got == -EHWPOISON ? -EFAULT : -EAGAIN;
}

/* Of pages that are mapped: not of devices, which have no struct page. What a device answers to a read may change it. */
static int read_mapped(unsigned long hva, void *buffer, u32 len)
{
	struct page *page;
	void *at;

	if (get_user_pages_fast_only(hva, 1, 0, &page) != 1)
		return -EAGAIN;
	at = kmap_local_page(page);
	memcpy(buffer, at + offset_in_page(hva), len);
	kunmap_local(at);
	put_page(page);
	return 0;
}

int lac_kvm_read_hva(struct kvm *kvm, unsigned long hva, void *buffer, u32 len)
{
	int err = read_mapped(hva, buffer, len);

	if (!err)
		return 0;
	err = bring_in(kvm, hva, false);
	return err ? err : read_mapped(hva, buffer, len);
}

int lac_kvm_read(struct kvm *kvm, u64 gpa, void *buffer, u32 len)
{
	unsigned long hva = lac_kvm_hva(kvm, gpa, false);

	return hva ? lac_kvm_read_hva(kvm, hva, buffer, len) : -EFAULT;
}

/*
 * mark_page_dirty() of 6.1 insists on running in a vCPU's thread, for the sake of the dirty ring. Elsewhere the bitmap, which
 * is what a VMM without a ring uses, is set as it does.
 */
static void mark_dirty(struct kvm *kvm, struct kvm_vcpu *vcpu, gfn_t gfn)
{
	struct kvm_memory_slot *slot;

	if (vcpu) {
		static_call(page_dirty)(kvm, gfn);
		return;
	}
	slot = static_call(find_memslot)(kvm, gfn);
	if (slot && slot->dirty_bitmap)
		set_bit_le(gfn - slot->base_gfn, slot->dirty_bitmap);
}

/* 0, 1 if they are others, which *@old is set to then, or -EFAULT. */
static int exchange_mapped(unsigned long hva, u64 *old, u64 new)
{
	u64 __user *at = (u64 __user *)hva;
	int ret;

	pagefault_disable();
	ret = __try_cmpxchg_user(at, old, new, fault);
	pagefault_enable();
	return ret;
}

static void init_range(struct mmu_notifier_range *range, struct mm_struct *mm, unsigned long start)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 3, 0)
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, mm, start, start + PAGE_SIZE);
#else
	mmu_notifier_range_init(range, MMU_NOTIFY_CLEAR, 0, NULL, mm, start, start + PAGE_SIZE);
#endif
	range->flags |= MMU_NOTIFIER_RANGE_BLOCKABLE;
}

static void invalidate_end(struct mmu_notifier_range *range)
{
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 6, 0)
	static_call(invalidate_end)(range);
#else
	static_call(invalidate_end)(range, false);
#endif
}

#define LOCK_TRIES 200 /* 10 to 20 ms */

/*
 * Whoever holds mmap_lock for writing, or queues for it, mostly does so for some milliseconds (khugepaged copies 2 MiB); but it may be
 * waiting for whoever answers for a page.
 */
static int lock_space(struct mm_struct *mm)
{
	int i;

	for (i = 0; i < LOCK_TRIES; i++) {
		if (mmap_read_trylock(mm))
			return 0;
		usleep_range(50, 100);
	}
	return -EAGAIN;
}

/*
 * As when the kernel moves a page: KVM takes it out of the guest's page tables, brings all vCPUs out of the guest to have them forget
 * it, and lets none of them have it again before the end. So no vCPU executes, reads or writes the page while it is changed, nor
 * has anything of it left from before: where it goes on it fetches anew, behind an exit and an entry.
 *
 * Under mmap_lock, as whoever invalidates must be (include/linux/mmu_notifier.h): another virtual machine that the process makes
 * between start and end would see the end alone, and its count of what is going on would be wrong for ever.
 */
static int exchange_alone(struct kvm *kvm, unsigned long hva, u64 *old, u64 new)
{
	struct mmu_notifier_range range;
	int ret = lock_space(kvm->mm);

	if (ret)
		return ret;
	init_range(&range, kvm->mm, hva & PAGE_MASK);
	static_call(invalidate_start)(&range);
	ret = exchange_mapped(hva, old, new);
	invalidate_end(&range);
	mmap_read_unlock(kvm->mm);
	return ret;
}

static int exchange(struct kvm *kvm, unsigned long hva, u64 *old, u64 new)
{
	int ret = exchange_alone(kvm, hva, old, new);

	if (ret != -EFAULT)
		return ret;
	ret = bring_in(kvm, hva, true);
	if (ret)
		return ret;
	ret = exchange_alone(kvm, hva, old, new);
	return ret == -EFAULT ? -EAGAIN : ret;
}

int lac_kvm_exchange(struct kvm *kvm, struct kvm_vcpu *vcpu, u64 gpa, unsigned long hva, u64 *old, u64 new)
{
	int ret;

	assert_slots_stay(kvm);
	ret = exchange(kvm, hva, old, new);
	if (!ret && lac_kvm_hva(kvm, gpa, false) == hva)
		mark_dirty(kvm, vcpu, gpa_to_gfn(gpa));
	return ret;
}

bool lac_kvm_is_logged(struct kvm *kvm, u64 gpa)
{
	struct kvm_memory_slot *slot;

	assert_slots_stay(kvm);
	slot = static_call(find_memslot)(kvm, gpa_to_gfn(gpa));
	return slot && slot->flags & KVM_MEM_LOG_DIRTY_PAGES;
}

bool lac_kvm_in_space(struct kvm *kvm, void (*call)(struct kvm *kvm, void *data), void *data)
{
	int srcu;

	might_sleep();
	if (!mmget_not_zero(kvm->mm))
		return false;
	kthread_use_mm(kvm->mm);
	srcu = srcu_read_lock(&kvm->srcu);
	call(kvm, data);
	srcu_read_unlock(&kvm->srcu, srcu);
	kthread_unuse_mm(kvm->mm);
	/* its VMM may have been killed meanwhile: to take all of its memory apart, or wait for its I/O, is not for this thread to do */
	mmput_async(kvm->mm);
	return true;
}

/*
 * Between the exit and the end of its handling a vCPU thread first has interrupts off (waited for by synchronize_rcu()),
 * then, after a few instructions without either (which a voluntary switch must have ended), holds kvm->srcu until it enters
 * the guest again or leaves to user space (vcpu_run(), vcpu_enter_guest()).
 */
unsigned long lac_kvm_start_quiescing(struct kvm *kvm)
{
	might_sleep();
	synchronize_rcu();
	synchronize_rcu_tasks();
	return start_poll_synchronize_srcu(&kvm->srcu);
}

bool lac_kvm_is_quiet(struct kvm *kvm, unsigned long since)
{
	return poll_state_synchronize_srcu(&kvm->srcu, since);
}
