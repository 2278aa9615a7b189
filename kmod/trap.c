// SPDX-License-Identifier: GPL-2.0-only
#include "trap.h"

#include "event.h"
#include "hunt.h"
#include "kvm.h"
#include "memory.h"
#include "sites.h"

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
	for (i = 0; i < number; i++)
		lac_event_forget(guest, tasks[i]);
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

/* Is it an initcall of the kernel itself? */
static bool make_event(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, struct lac_reader *reader)
{
	static const u8 on[] = { LACUNA_ON_FORK, LACUNA_ON_EXIT, LACUNA_ON_INITCALL };
	struct lac_memory memory = lac_reader_memory(reader);
	struct lac_event event = { .on = on[kind], .cr3 = lac_kvm_cr3(vcpu), .paging = guest->paging };
	struct lac_space space;
	int err;

	lac_space_init(&space, &memory, event.cr3, event.paging);
	err = find_subject(guest, vcpu, kind, &space, &event.subject);
	if (!err)
		return lac_event_take(guest, &event, &memory) == LAC_BUILTIN;
	lac_event_skip(guest, LACUNA_SKIP_NO_INSTANCE);
	return false;
}

/*
 * A guest that has been running for long may never load a module again: those it has loaded are asked, one at each fork. One whose
 * kernel's own page tables are known is looked at instead (survey.c).
 */
static void make_listed_module_event(struct lac_guest *guest, struct kvm_vcpu *vcpu, struct lac_reader *reader)
{
	struct lac_memory memory = lac_reader_memory(reader);
	const struct lac_event event = {
		.on = LACUNA_ON_INITCALL,
		.cr3 = lac_kvm_cr3(vcpu),
		.paging = guest->paging,
		.subject = LAC_LISTED_MODULE,
	};

	if (!lac_engine_settled(guest->engine, true))
		lac_event_take(guest, &event, &memory);
}

/* What the guest is about to do with what traps stand in: no site may be armed when it does. NULL: nothing, the site is there to be asked. */
static const char *why_to_end(u32 kind)
{
	switch (kind) {
	case LACUNA_SITE_HIBERNATE:
		return "the guest copies its memory to its own disk, or from there (hibernation)";
	case LACUNA_SITE_PROBE:
		return "the guest's kernel puts a probe into its own code";
	}
	return NULL;
}

static void filter(struct lac_guest *guest, struct kvm_vcpu *vcpu, struct lac_site *site)
{
	struct lac_reader reader = { .kvm = vcpu->kvm, .guest = guest };
	u32 kind = site - guest->sites;
	u64 since = lac_guest_time(guest);
	enum lac_news news;
	bool builtin;

	if (!mutex_trylock(&guest->engine_lock)) {
		if (kind == LACUNA_SITE_EXIT)
			postpone_exit(guest, lac_kvm_argument(vcpu));
		lac_event_skip(guest, LACUNA_SKIP_BUSY);
		return;
	}
	if (READ_ONCE(guest->state) != LACUNA_GUEST_TRAPPING || !READ_ONCE(site->armed)) {
		lac_event_skip(guest, LACUNA_SKIP_LATE);
		mutex_unlock(&guest->engine_lock);
		return;
	}
	if (!guest->stats.first_trap_ns)
		guest->stats.first_trap_ns = lac_guest_time(guest);
	forget_postponed(guest);
	builtin = make_event(guest, vcpu, kind, &reader);
	if (kind == LACUNA_SITE_FORK && !lac_engine_root(guest->engine))
		make_listed_module_event(guest, vcpu, &reader);
	news = lac_event_update(guest);
	lac_hunt_move_sites(guest, vcpu, kind, builtin);
	mutex_unlock(&guest->engine_lock);
	lac_guest_count_hook(guest, since, reader.bytes);
	if (news == LAC_NO_NEWS)
		lac_event_waste(guest, kind);
	if (news == LAC_PROGRESS)
		lac_guest_tell(guest, LACUNA_EVENT_PROGRESS);
}

static int read_unrecorded(void *context, u64 gpa, void *buffer, u32 len)
{
	return lac_kvm_read(context, gpa, buffer, len);
}

/*
 * What is displaced may push something, and KVM waits for a page of the stack that is not there: inside of our hook, and for as long
 * as it pleases who answers for the page. The guest can do that by itself.
 */
static bool stack_is_there(const struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	const struct lac_memory memory = { .read = read_unrecorded, .context = vcpu->kvm };
	struct lac_space space;
	u64 top = lac_kvm_stack_pointer(vcpu), word;

	lac_space_init(&space, &memory, lac_kvm_cr3(vcpu), guest->paging);
	/* the first and the last that may be pushed: more than two pages they are not on */
	return lac_read_word(&space, top - space.word, &word) != -EAGAIN &&
	       lac_read_word(&space, top - LAC_MAX_DISPLACED * space.word, &word) != -EAGAIN;
}

/*
 * A site that has just been released can still be trapped at, by a vCPU that had fetched the old bytes: what they displaced is
 * emulated all the same.
 */
bool lac_trap_answer(struct lac_guest *guest, struct kvm_vcpu *vcpu, int *ret)
{
	enum lac_emulated done;
	struct lac_site *site;
	const char *why;
	bool amid;

	if (lac_kvm_private(vcpu) || !lac_kvm_ordinary(vcpu) || !lac_kvm_paging(vcpu))
		return false;
	site = site_at(guest, lac_kvm_rip(vcpu));
	if (!site)
		return false;
	spin_lock(&guest->stats_lock);
	guest->stats.traps[site - guest->sites]++;
	guest->stats.emulated += site->descriptor.lengths_nr;
	spin_unlock(&guest->stats_lock);
	why = why_to_end(site - guest->sites);
	if (why)
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_DONE, why);
	else
		filter(guest, vcpu, site);
	*ret = 1;
	/* It comes back to the trap until that has gone, for a while: what it is about to do is worse than waiting. */
	if (why && lac_hunt_has_just_ended(guest) && lac_sites_any_armed(guest))
		return true;
	if (!stack_is_there(guest, vcpu)) {
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED, "the guest's stack is not in memory at a trap site");
		return true;
	}
	done = lac_site_emulate(site, vcpu, &amid);
	*ret = done != LAC_EMULATED_EXIT && done != LAC_UNFINISHED_EXIT;
	/* with the bytes back the guest does it itself */
	if (done == LAC_CANNOT)
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED,
			     "KVM cannot emulate the instructions at a trap site");
	else if (amid)
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED,
			     "the instructions at a trap site could not be emulated in one go");
	return true;
}
