// SPDX-License-Identifier: GPL-2.0-only
#include "look.h"

#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/srcu.h>

#include "hunt.h"
#include "kvm.h"
#include "memory.h"

static unsigned int firmware_ms = 120 * MSEC_PER_SEC;
module_param(firmware_ms, uint, 0644);
MODULE_PARM_DESC(firmware_ms, "Milliseconds in which a guest that has started no kernel is not given up for its CPUID exits");

/*
 * BIOS and boot loaders need some hundreds CPUID exits, a few thousand with many vCPUs; UEFI firmware some for each tick of its
 * clock. What has needed more when firmware_ms are over is not Linux, and what needs many more does it on purpose.
 */
#define MAX_EARLY_EXITS (1u << 16)
#define MAX_FIRMWARE_EXITS (1u << 20)
/* Exits and interrupts of a kernel that none of the descriptors fits. */
#define MAX_STRANGE_EXITS 64
#define LOOK_INTERVAL (HZ / 100 ?: 1)
/*
 * A kernel that is not found may just be finding out how fast its processor is, by a loop between two interrupts. Of its time no
 * more than one part in so many is spent on looking for it.
 */
#define LOOK_SHARE 32

/* Linux under SEV keeps the C-bit (47 or 51) in CR3; no guest has so much memory. */
#define ENCRYPTED_CR3 (1ull << 47 | 1ull << 51)

#define PRIVATE_MEMORY "the guest's memory is encrypted or private to it: it cannot be read from outside"

static const char *start_failure(int err)
{
	switch (err) {
	case -EILSEQ:
		return "the bytes at a trap site are not those of the kernel's image, or are being probed";
	case -ENOTUNIQ:
		return "two kernels have the banner and the code at the trap sites in common: name the one that the guest starts";
	case -ETXTBSY:
		return LAC_MEMORY_IS_COPIED;
	case -EXDEV:
		return "the kernel was already running and has no trap site that is safe to arm then";
	}
	return "the trap sites cannot be written";
}

/* Returns why the guest has to be let go, or NULL. */
static const char *look_with(struct lac_reader *reader, struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	struct lac_memory memory = lac_reader_memory(reader);
	const struct lac_kernel *kernel;
	struct lac_space space;
	u64 slide;
	int err;

	lac_space_init(&space, &memory, lac_kvm_cr3(vcpu), lac_kvm_paging_mode(vcpu));
	if (!lac_kernel_runs(&space, lac_kvm_rip(vcpu)))
		return NULL;
	err = lac_kernel_find(guest->orders.kernels, guest->orders.kernels_nr, &space, &kernel, &slide);
	/* what is not there now may be what it is known by: it is looked at again */
	if (err == -EAGAIN || (err && reader->incomplete))
		return NULL;
	if (err && err != -ENOENT)
		return start_failure(err);
	if (!err && kernel->known) {
		guest->members_nr = 0;
		lac_hunt_recognise(guest, kernel, slide, &space);
		return NULL;
	}
	if (!err) {
		err = lac_hunt_start(guest, vcpu, kernel, slide, &space);
		return err && err != -EAGAIN ? start_failure(err) : NULL;
	}
	if (++guest->strange_exits < MAX_STRANGE_EXITS)
		return NULL;
	if (lac_kvm_cr3(vcpu) & ENCRYPTED_CR3)
		return PRIVATE_MEMORY;
	return "no matching kernel: the one that runs is none of those in the guest's image";
}

static const char *look_for_kernel(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	struct lac_reader reader = { .kvm = vcpu->kvm, .guest = guest };
	u64 since = lac_guest_time(guest), now;
	const char *failure;

	if (since < guest->rest_until_ns)
		return NULL;
	failure = look_with(&reader, guest, vcpu);
	now = lac_guest_time(guest);
	guest->rest_until_ns = now + (now - since) * (LOOK_SHARE - 1);
	lac_guest_count_hook(guest, since, reader.bytes);
	return failure;
}

/* EDK II's LocalApicLib executes CPUID to know which kind of APIC it has, also while a menu waits for somebody to choose. */
static bool is_never_to_come(struct lac_guest *guest)
{
	u64 waited = lac_guest_time(guest) - guest->waiting_ns;

	if (guest->stats.early_exits < MAX_EARLY_EXITS)
		return false;
	return guest->stats.early_exits >= MAX_FIRMWARE_EXITS || waited >= (u64)READ_ONCE(firmware_ms) * NSEC_PER_MSEC;
}

/*
 * @counts: the guest has executed something. Firmware that waits for somebody to press a key may be interrupted as often as it
 * likes; and a vCPU that has not run yet may be about to get the registers of a guest that is migrated here.
 */
static const char *wait_for_kernel(struct lac_guest *guest, struct kvm_vcpu *vcpu, bool counts)
{
	guest->stats.early_exits += counts;
	if (lac_kvm_private(vcpu))
		return PRIVATE_MEMORY;
	if (counts && lac_kvm_boot_cpu(vcpu) && !lac_kvm_paging(vcpu)) {
		guest->seen_firmware = true;
		guest->nobody_inside = true;
	}
	if (is_never_to_come(guest))
		return "no Linux kernel was started";
	return lac_kvm_paging(vcpu) ? look_for_kernel(guest, vcpu) : NULL;
}

/*
 * Once Linux runs, the boot CPU does not turn paging off again: a CPUID without it is the firmware after a reset. Nor does the
 * kernel have code in the lower half of its addresses: that is the next kernel, started by kexec and still unpacking itself, on
 * whatever CPU has crashed if it is the one that waits for that (kdump).
 */
static bool was_reset(const struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	if (READ_ONCE(guest->state) != LACUNA_GUEST_TRAPPING)
		return false;
	if (!lac_kvm_paging(vcpu))
		return lac_kvm_boot_cpu(vcpu);
	return lac_kvm_long_mode(vcpu) && (s64)lac_kvm_rip(vcpu) >= 0 && lac_kvm_cpl(vcpu) == 0;
}

static void look(struct lac_guest *guest, struct kvm_vcpu *vcpu, bool counts)
{
	enum lacuna_event news = LACUNA_EVENT_NONE;
	const char *failure = NULL;
	bool known = false;

	if (READ_ONCE(guest->state) != LACUNA_GUEST_WAITING && !was_reset(guest, vcpu))
		return;
	if (!lac_kvm_ordinary(vcpu))
		return;
	mutex_lock(&guest->engine_lock);
	mutex_lock(&guest->lock);
	if (was_reset(guest, vcpu)) {
		lac_hunt_reset(guest, vcpu);
		news = LACUNA_EVENT_RESET;
	} else if (guest->state == LACUNA_GUEST_WAITING && !guest->kernel) {
		failure = wait_for_kernel(guest, vcpu, counts);
		if (guest->kernel)
			news = LACUNA_EVENT_FOUND;
		known = guest->kernel && guest->kernel->known;
	}
	mutex_unlock(&guest->lock);
	mutex_unlock(&guest->engine_lock);
	if (failure)
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED, failure);
	else if (news)
		lac_guest_tell(guest, news);
	if (known)
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_DONE, NULL);
}

void lac_look_at_cpuid(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	lac_hunt_wake(guest, vcpu);
	look(guest, vcpu, true);
}

/* Not every caller of what is hooked holds the lock on the memory slots. */
void lac_look_at_event(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	int slots;

	if (READ_ONCE(guest->asleep)) {
		slots = srcu_read_lock(&vcpu->kvm->srcu);
		lac_hunt_wake(guest, vcpu);
		srcu_read_unlock(&vcpu->kvm->srcu, slots);
		return;
	}
	if (READ_ONCE(guest->state) != LACUNA_GUEST_WAITING || time_before(jiffies, READ_ONCE(guest->look_again)))
		return;
	WRITE_ONCE(guest->look_again, jiffies + LOOK_INTERVAL);
	slots = srcu_read_lock(&vcpu->kvm->srcu);
	look(guest, vcpu, false);
	srcu_read_unlock(&vcpu->kvm->srcu, slots);
}
