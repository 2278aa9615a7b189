// SPDX-License-Identifier: GPL-2.0-only
#include "trap.h"

#include <linux/jiffies.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/srcu.h>

#include "guest.h"
#include "hook.h"
#include "kvm.h"
#include "netlink.h"
#include "recording.h"

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

/* Linux under SEV keeps the C-bit (47 or 51) in CR3; no guest has so much memory. */
#define ENCRYPTED_CR3 (1ull << 47 | 1ull << 51)

#define PRIVATE_MEMORY "the guest's memory is encrypted or private to it: it cannot be read from outside"

struct reader {
	struct kvm *kvm;
	struct lac_guest *guest;
	u64 bytes;
};

/* Other vCPUs write: what is kept must be what was read, so that a replay sees the same. */
static int read_and_record(struct reader *reader, u64 gpa, void *buffer, u32 len)
{
	struct lac_recording *recording = reader->guest->recording;
	u64 start = ALIGN_DOWN(gpa, LAC_RECORD_PAGE_SIZE);
	u8 *page = lac_recording_page(recording);
	int err;

	err = lac_kvm_read(reader->kvm, start, page, LAC_RECORD_PAGE_SIZE);
	if (err)
		return err;
	lac_recording_keep_page(recording, start);
	memcpy(buffer, page + (gpa - start), len);
	return 0;
}

static int read_guest(void *context, u64 gpa, void *buffer, u32 len)
{
	struct reader *reader = context;

	cond_resched();
	reader->bytes += len;
	if (reader->guest->recording)
		return read_and_record(reader, gpa, buffer, len);
	return lac_kvm_read(reader->kvm, gpa, buffer, len);
}

static void count_hook(struct lac_guest *guest, u64 since, u64 bytes)
{
	u64 ns = ktime_get_ns() - since;

	spin_lock(&guest->stats_lock);
	guest->stats.hook_ns_total += ns;
	guest->stats.hook_ns_max = max(guest->stats.hook_ns_max, ns);
	guest->stats.bytes_read += bytes;
	spin_unlock(&guest->stats_lock);
}

static void count_skip(struct lac_guest *guest, enum lacuna_skip why)
{
	spin_lock(&guest->stats_lock);
	guest->stats.events_skipped[why]++;
	spin_unlock(&guest->stats_lock);
}

/* ---- how a kernel is found: a CPUID exit, which every kernel takes early, or an interrupt ---- */

static const char *start_failure(int err)
{
	switch (err) {
	case -EILSEQ:
		return "the bytes at a trap site are not those of the kernel's image, or are being probed";
	case -ETXTBSY:
		return LAC_MEMORY_IS_COPIED;
	case -EXDEV:
		return "the kernel was already running and has no trap site that is safe to arm then";
	}
	return "the trap sites cannot be written";
}

/* Returns why the guest has to be let go, or NULL. */
static const char *look_for_kernel(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	struct reader reader = { .kvm = vcpu->kvm, .guest = guest };
	struct lac_memory memory = { .read = read_guest, .context = &reader };
	const struct lac_kernel *kernel;
	struct lac_space space;
	u64 slide;
	int err;

	lac_space_init(&space, &memory, lac_kvm_cr3(vcpu), lac_kvm_paging_mode(vcpu));
	if (!lac_kernel_runs(&space, lac_kvm_rip(vcpu)))
		return NULL;
	kernel = lac_kernel_find(guest->orders.kernels, guest->orders.kernels_nr, &space, &slide);
	if (kernel && kernel->known) {
		guest->members_nr = 0;
		err = lac_guest_recognise(guest, kernel, slide, &space);
		/* what cannot be read now is looked at again */
		return err == -EILSEQ ? start_failure(err) : NULL;
	}
	if (kernel) {
		err = lac_guest_start(guest, vcpu, kernel, slide, &space);
		return err ? start_failure(err) : NULL;
	}
	if (++guest->strange_exits < MAX_STRANGE_EXITS)
		return NULL;
	if (lac_kvm_cr3(vcpu) & ENCRYPTED_CR3)
		return PRIVATE_MEMORY;
	return "no matching kernel: the one that runs is none of those in the guest's image";
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
	guest->seen_firmware |= counts && lac_kvm_boot_cpu(vcpu) && !lac_kvm_paging(vcpu);
	if (is_never_to_come(guest))
		return "no Linux kernel was started";
	return lac_kvm_paging(vcpu) ? look_for_kernel(guest, vcpu) : NULL;
}

/*
 * Once Linux runs, the boot CPU does not turn paging off again: a CPUID without it is the firmware after a reset. Nor does the
 * kernel have code in the lower half of its addresses: that is the next kernel, started by kexec and still unpacking itself.
 */
static bool boots_again(const struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	if (READ_ONCE(guest->state) != LACUNA_GUEST_TRAPPING || !lac_kvm_boot_cpu(vcpu))
		return false;
	if (!lac_kvm_paging(vcpu))
		return true;
	return lac_kvm_long_mode(vcpu) && (s64)lac_kvm_rip(vcpu) >= 0 && lac_kvm_cpl(vcpu) == 0;
}

static void look_early(struct lac_guest *guest, struct kvm_vcpu *vcpu, bool counts)
{
	enum lacuna_event news = LACUNA_EVENT_NONE;
	const char *failure = NULL;
	bool known = false;

	if (READ_ONCE(guest->state) != LACUNA_GUEST_WAITING && !boots_again(guest, vcpu))
		return;
	if (!lac_kvm_ordinary(vcpu))
		return;
	mutex_lock(&guest->filter);
	mutex_lock(&guest->lock);
	if (boots_again(guest, vcpu)) {
		lac_guest_restart(guest, vcpu);
		news = LACUNA_EVENT_RESET;
	} else if (guest->state == LACUNA_GUEST_WAITING && !guest->kernel) {
		failure = wait_for_kernel(guest, vcpu, counts);
		if (guest->kernel)
			news = LACUNA_EVENT_FOUND;
		known = guest->kernel && guest->kernel->known;
	}
	mutex_unlock(&guest->lock);
	mutex_unlock(&guest->filter);
	if (failure)
		lac_guest_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED, failure);
	else if (news)
		lac_netlink_notify(guest, news);
	if (known)
		lac_guest_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_DONE, NULL);
}

/* ---- traps ---- */

static struct lac_site *site_at(struct lac_guest *guest, u64 rip)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		if (rip && READ_ONCE(guest->sites[i].va) == rip)
			return &guest->sites[i];
	return NULL;
}

/* An exit that cannot be looked at now must not be lost: the task's memory may be another's soon. */
static void postpone_exit(struct lac_guest *guest, u64 task)
{
	spin_lock(&guest->pending_lock);
	if (guest->pending_nr < LAC_PENDING_EXITS)
		guest->pending[guest->pending_nr++] = task;
	else
		guest->pending[0] = LAC_ALL_TASKS;
	spin_unlock(&guest->pending_lock);
}

static void forget_postponed(struct lac_guest *guest)
{
	u64 tasks[LAC_PENDING_EXITS];
	u32 number, i;

	spin_lock(&guest->pending_lock);
	number = guest->pending_nr;
	memcpy(tasks, guest->pending, number * sizeof(tasks[0]));
	guest->pending_nr = 0;
	spin_unlock(&guest->pending_lock);
	for (i = 0; i < number; i++) {
		lac_engine_forget(guest->engine, tasks[i]);
		lac_recording_add(guest->recording, LAC_RECORD_FORGET, &tasks[i], sizeof(tasks[i]));
	}
}

static int find_current(struct lac_guest *guest, struct kvm_vcpu *vcpu, struct lac_space *space, u64 *current_task)
{
	const struct lac_kernel *kernel = guest->kernel;
	u64 at = kernel->current_task + (kernel->current_slides ? guest->slide : 0);

	switch (kernel->current_kind) {
	case LACUNA_CURRENT_PER_CPU:
		at += lac_kvm_percpu_base(vcpu);
		break;
	case LACUNA_CURRENT_STACK:
		at = lac_kvm_stack_pointer(vcpu) & ~(kernel->current_task - 1);
		break;
	}
	if (space->word == 4)
		at = (u32)at;
	return lac_read_word(space, at, current_task);
}

static int find_subject(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, struct lac_space *space, u64 *subject)
{
	if (kind == LACUNA_SITE_FORK)
		return find_current(guest, vcpu, space, subject);
	*subject = lac_kvm_argument(vcpu);
	return 0;
}

static void take_event(struct lac_guest *guest, const struct lac_event *event, const struct lac_memory *memory)
{
	struct lac_record_event record = { event->on, event->paging, event->subject, event->cr3 };

	lac_recording_add(guest->recording, LAC_RECORD_EVENT, &record, sizeof(record));
	switch (lac_engine_event(guest->engine, event, memory)) {
	case LAC_USED:
		guest->stats.events_used++;
		break;
	case LAC_NO_INSTANCE:
		count_skip(guest, LACUNA_SKIP_NO_INSTANCE);
		break;
	case LAC_BUILTIN:
		count_skip(guest, LACUNA_SKIP_BUILTIN);
		break;
	}
}

static void make_event(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, struct reader *reader)
{
	static const u8 on[LACUNA_SITE_KINDS] = { LACUNA_ON_FORK, LACUNA_ON_EXIT, LACUNA_ON_INITCALL };
	struct lac_memory memory = { .read = read_guest, .context = reader };
	struct lac_event event = { .on = on[kind], .cr3 = lac_kvm_cr3(vcpu), .paging = guest->paging };
	struct lac_space space;
	int err;

	lac_space_init(&space, &memory, event.cr3, event.paging);
	err = find_subject(guest, vcpu, kind, &space, &event.subject);
	if (err)
		count_skip(guest, LACUNA_SKIP_NO_INSTANCE);
	else
		take_event(guest, &event, &memory);
}

/* A guest that has been running for long may never load a module again: those it has loaded are asked, one at each fork. */
static void make_listed_module_event(struct lac_guest *guest, struct kvm_vcpu *vcpu, struct reader *reader)
{
	struct lac_memory memory = { .read = read_guest, .context = reader };
	const struct lac_event event = {
		.on = LACUNA_ON_INITCALL,
		.cr3 = lac_kvm_cr3(vcpu),
		.paging = guest->paging,
		.subject = LAC_LISTED_MODULE,
	};

	if (!lac_engine_settled(guest->engine, true))
		take_event(guest, &event, &memory);
}

/* Have the candidates changed? */
static bool update_members(struct lac_guest *guest)
{
	struct lacuna_member_report now, *then;
	bool changed = false;
	u32 i;

	mutex_lock(&guest->lock);
	guest->root = lac_engine_root(guest->engine);
	for (i = 0; i < guest->members_nr; i++) {
		then = &guest->members[i];
		lac_engine_report(guest->engine, i, &now);
		changed |= now.remaining != then->remaining || now.state != then->state;
		now.resolved_ns = then->resolved_ns;
		if (now.state == LACUNA_RESOLVED && !now.resolved_ns)
			now.resolved_ns = lac_guest_time(guest) - guest->stats.first_trap_ns;
		*then = now;
	}
	mutex_unlock(&guest->lock);
	return changed;
}

/* What the event has changed: sites that are needed no more, or now. */
static void move_sites(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	bool tasks = lac_engine_settled(guest->engine, false), modules = lac_engine_settled(guest->engine, true);
	/* a guest that was found running has loaded its modules: they are looked at when it forks */
	bool forks = !modules && !guest->seen_firmware;
	int err = 0;

	if (tasks && modules) {
		lac_guest_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_DONE, NULL);
		return;
	}
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_TRAPPING) {
		if (tasks && !guest->stats.process_done_ns)
			guest->stats.process_done_ns = lac_guest_time(guest);
		if (tasks && !forks)
			err = lac_site_release(&guest->sites[LACUNA_SITE_FORK], vcpu->kvm, vcpu);
		if (tasks && !forks && !err)
			err = lac_site_release(&guest->sites[LACUNA_SITE_EXIT], vcpu->kvm, vcpu);
		if (!err && modules)
			err = lac_site_release(&guest->sites[LACUNA_SITE_INITCALL], vcpu->kvm, vcpu);
		else if (!err && lac_engine_user_space(guest->engine))
			err = lac_site_arm(&guest->sites[LACUNA_SITE_INITCALL], vcpu->kvm, vcpu);
	}
	mutex_unlock(&guest->lock);
	if (err)
		lac_guest_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED, "a trap site cannot be written");
}

static void filter(struct lac_guest *guest, struct kvm_vcpu *vcpu, struct lac_site *site)
{
	struct reader reader = { .kvm = vcpu->kvm, .guest = guest };
	u32 kind = site - guest->sites;
	u64 since = ktime_get_ns();
	bool changed;

	if (!mutex_trylock(&guest->filter)) {
		if (kind == LACUNA_SITE_EXIT)
			postpone_exit(guest, lac_kvm_argument(vcpu));
		count_skip(guest, LACUNA_SKIP_BUSY);
		return;
	}
	if (READ_ONCE(guest->state) != LACUNA_GUEST_TRAPPING || !READ_ONCE(site->armed)) {
		count_skip(guest, LACUNA_SKIP_LATE);
		mutex_unlock(&guest->filter);
		return;
	}
	if (!guest->stats.first_trap_ns)
		guest->stats.first_trap_ns = lac_guest_time(guest);
	forget_postponed(guest);
	make_event(guest, vcpu, kind, &reader);
	if (kind == LACUNA_SITE_FORK && !guest->seen_firmware)
		make_listed_module_event(guest, vcpu, &reader);
	changed = update_members(guest);
	move_sites(guest, vcpu);
	mutex_unlock(&guest->filter);
	count_hook(guest, since, reader.bytes);
	if (changed)
		lac_netlink_notify(guest, LACUNA_EVENT_PROGRESS);
}

/*
 * True if the exit was one of our traps; *ret is then what KVM's handler would return. A site that has just been released can still be trapped at, by a vCPU that had
 * fetched the old bytes: what they displaced is emulated all the same.
 */
static bool trapped(struct lac_guest *guest, struct kvm_vcpu *vcpu, int *ret)
{
	struct lac_site *site;

	if (lac_kvm_private(vcpu) || !lac_kvm_ordinary(vcpu) || !lac_kvm_paging(vcpu))
		return false;
	site = site_at(guest, lac_kvm_rip(vcpu));
	if (!site)
		return false;
	spin_lock(&guest->stats_lock);
	guest->stats.traps[site - guest->sites]++;
	guest->stats.emulated += site->descriptor.lengths_nr;
	spin_unlock(&guest->stats_lock);
	filter(guest, vcpu, site);
	switch (lac_site_emulate(site, vcpu)) {
	case LAC_EMULATED:
	case LAC_NOT_YET:
		*ret = 1;
		break;
	case LAC_EMULATED_EXIT:
		*ret = 0;
		break;
	case LAC_CANNOT:
		/* with the bytes back the guest does it itself */
		lac_guest_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED,
			      "KVM cannot emulate the instructions at a trap site");
		*ret = 1;
	}
	return true;
}

/* ---- the replacements ---- */

int lac_emulate_cpuid(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest = lac_guest_find(vcpu->kvm);
	int ret;

	if (guest) {
		look_early(guest, vcpu, true);
		lac_guest_put(guest);
	}
	ret = lac_kvm_cpuid(vcpu);
	lac_hook_leave();
	return ret;
}

/*
 * KVM asks this before it looks what is to be injected into a vCPU: after each timer interrupt, and when the vCPU has slept.
 * Only for guests that ran before they were armed, or were armed late: CPUID comes first in a boot. kvm_emulate_halt() would
 * not do: where HLT is handled on the fast path (handle_fastpath_hlt()), KVM calls it with interrupts off. Not every caller
 * holds the lock on the memory slots.
 */
int lac_accept_events(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest = lac_guest_find(vcpu->kvm);
	int ret, slots;

	if (guest) {
		if (READ_ONCE(guest->state) == LACUNA_GUEST_WAITING &&
		    time_after_eq(jiffies, READ_ONCE(guest->look_again))) {
			WRITE_ONCE(guest->look_again, jiffies + LOOK_INTERVAL);
			slots = srcu_read_lock(&vcpu->kvm->srcu);
			look_early(guest, vcpu, false);
			srcu_read_unlock(&vcpu->kvm->srcu, slots);
		}
		lac_guest_put(guest);
	}
	ret = lac_kvm_accept_events(vcpu);
	lac_hook_leave();
	return ret;
}

int lac_emulate_hypercall(struct kvm_vcpu *vcpu)
{
	struct lac_guest *guest = lac_guest_find(vcpu->kvm);
	int ret;

	if (!guest || !trapped(guest, vcpu, &ret))
		ret = lac_kvm_hypercall(vcpu);
	if (guest)
		lac_guest_put(guest);
	lac_hook_leave();
	return ret;
}

/* The VMM does not copy memory before the change is complete, and that is when this has returned. */
void lac_memory_committed(struct kvm *kvm, struct kvm_memory_slot *old, const struct kvm_memory_slot *new,
			  enum kvm_mr_change change)
{
	struct lac_guest *guest = lac_guest_find(kvm);

	lac_kvm_memory_committed(kvm, old, new, change);
	if (guest) {
		lac_guest_memory_changed(guest, kvm);
		lac_guest_put(guest);
	}
	lac_hook_leave();
}

void lac_vcpu_created(struct kvm_vcpu *vcpu)
{
	lac_kvm_vcpu_created(vcpu);
	lac_guest_created(vcpu->kvm);
	lac_hook_leave();
}

/* A VMM sets it when it has made a vCPU, has reset it, or has restored one that was saved. */
int lac_mp_state_set(struct kvm_vcpu *vcpu, struct kvm_mp_state *mp_state)
{
	int ret = lac_kvm_set_mp_state(vcpu, mp_state);

	if (lac_kvm_boot_cpu(vcpu)) {
		if (lac_kvm_paging(vcpu))
			lac_guest_was_restored(vcpu->kvm);
		else
			lac_guest_was_reset(vcpu->kvm);
	}
	lac_hook_leave();
	return ret;
}

void lac_vm_destroyed(struct kvm *kvm)
{
	lac_guest_gone(kvm);
	lac_kvm_vm_destroyed(kvm);
	lac_hook_leave();
}
