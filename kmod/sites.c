// SPDX-License-Identifier: GPL-2.0-only
#include "sites.h"

#include "event.h"
#include "guest.h"
#include "kvm.h"

int lac_sites_locate(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space)
{
	u32 i;
	int err;

	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		const struct lac_site_descriptor *d = &kernel->sites[i];

		WRITE_ONCE(guest->sites[i].va, 0);
		/* what could not be put back before a reset is another kernel's memory now */
		WRITE_ONCE(guest->sites[i].armed, false);
		if (!d->address)
			continue;
		err = lac_site_locate(&guest->sites[i], d, slide, space);
		if (err)
			return err;
		/* only while the one vCPU that runs has just left the firmware is nobody inside of them */
		if (!lac_site_is_single(d) && !guest->nobody_inside)
			return -EXDEV;
	}
	return 0;
}

bool lac_sites_are_logged(const struct lac_guest *guest, struct kvm *kvm)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		if (guest->sites[i].va && lac_kvm_is_logged(kvm, guest->sites[i].gpa))
			return true;
	return false;
}

void lac_sites_forget(struct lac_guest *guest)
{
	u32 i;

	lockdep_assert_held(&guest->lock);
	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		WRITE_ONCE(guest->sites[i].va, 0);
}

int lac_sites_arm_first(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	static const u8 first[] = { LACUNA_SITE_FORK, LACUNA_SITE_EXIT, LACUNA_SITE_HIBERNATE, LACUNA_SITE_PROBE };
	int err = 0;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(first) && !err; i++)
		err = lac_site_arm(&guest->sites[first[i]], vcpu->kvm, vcpu);
	/* else only once user space runs: what is initialised before are the kernel's own parts */
	if (!err && (!guest->seen_firmware || !lac_site_is_single(&guest->sites[LACUNA_SITE_INITCALL].descriptor)))
		err = lac_site_arm(&guest->sites[LACUNA_SITE_INITCALL], vcpu->kvm, vcpu);
	return err;
}

/* Where the guest comes by before it copies or probes its text: it waits there until the others are back. */
static bool is_guard(u32 kind)
{
	return kind == LACUNA_SITE_HIBERNATE || kind == LACUNA_SITE_PROBE;
}

int lac_sites_release(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	int err = 0, one;
	u32 i;

	lockdep_assert_held(&guest->lock);
	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		/* in this order: they come last */
		if (err && is_guard(i) && !READ_ONCE(guest->abandoned))
			continue;
		one = lac_site_release(&guest->sites[i], kvm, vcpu);
		if (one)
			err = one;
	}
	return err;
}

bool lac_sites_any_armed(const struct lac_guest *guest)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		if (READ_ONCE(guest->sites[i].armed))
			return true;
	return false;
}

/*
 * Sites of one instruction alone can be armed again: of another a vCPU might be in the middle. Who ends meanwhile is not seen, so
 * nobody is known to be alive then.
 */
static int fall_asleep(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	struct lac_site *fork = &guest->sites[LACUNA_SITE_FORK], *exit = &guest->sites[LACUNA_SITE_EXIT];
	int err;

	lockdep_assert_held(&guest->engine_lock);
	lockdep_assert_held(&guest->lock);
	if (!lac_site_is_single(&fork->descriptor) || !lac_site_is_single(&exit->descriptor))
		return 0;
	err = lac_site_release(fork, vcpu->kvm, vcpu);
	if (!err)
		err = lac_site_release(exit, vcpu->kvm, vcpu);
	if (err)
		return err;
	lac_event_forget(guest, LAC_ALL_TASKS);
	WRITE_ONCE(guest->asleep, true);
	return 0;
}

/*
 * An exit tells of a task alone; where the members that are left are those of what tasks point to, it tells nothing. Who ends then is
 * not seen, so nobody is known to be alive. It is armed again if a member turns out not to be tied, which the site must allow.
 */
static int move_exit_site(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	struct lac_site *exit = &guest->sites[LACUNA_SITE_EXIT];
	int err = 0;

	if (!lac_site_is_single(&exit->descriptor) || guest->asleep || guest->drowsy)
		return 0;
	if (lac_engine_wants_exits(guest->engine))
		return lac_site_arm(exit, vcpu->kvm, vcpu);
	err = lac_site_release(exit, vcpu->kvm, vcpu);
	if (!err)
		lac_event_forget(guest, LAC_ALL_TASKS);
	return err;
}

/*
 * Modules are loaded by processes. What runs before process 1 does are the kernel's own initcalls, some hundred, with a program here
 * and there that the kernel starts for itself: whenever one of its own is met, the next process to fork tells when to try again.
 */
static bool runs_process(const struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind)
{
	return kind != LACUNA_SITE_INITCALL && guest->root &&
	       lac_root_of(lac_kvm_cr3(vcpu), guest->paging) != guest->root;
}

int lac_sites_move(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, bool builtin)
{
	struct lac_site *initcall = &guest->sites[LACUNA_SITE_INITCALL];
	bool tasks = lac_engine_settled(guest->engine, false), modules = lac_engine_settled(guest->engine, true);
	/* where the kernel's own page tables are not known nobody can look: modules are asked at forks, in their processes' */
	bool forks = !modules && !lac_engine_root(guest->engine);
	int err = 0;

	lockdep_assert_held(&guest->engine_lock);
	lockdep_assert_held(&guest->lock);
	/* what is left then can be seen without traps */
	if (tasks && !forks)
		return lac_sites_release(guest, vcpu->kvm, vcpu);
	if (modules || (builtin && lac_site_is_single(&initcall->descriptor)))
		err = lac_site_release(initcall, vcpu->kvm, vcpu);
	else if (runs_process(guest, vcpu, kind) && lac_site_is_single(&initcall->descriptor))
		err = lac_site_arm(initcall, vcpu->kvm, vcpu);
	if (err || tasks)
		return err;
	if (guest->seen_firmware && lac_engine_waits_for_user_space(guest->engine))
		err = fall_asleep(guest, vcpu);
	return err ?: move_exit_site(guest, vcpu);
}

int lac_sites_rouse(struct lac_guest *guest, struct kvm *kvm)
{
	int err;

	lockdep_assert_held(&guest->engine_lock);
	lockdep_assert_held(&guest->lock);
	if (!guest->drowsy || (!lac_engine_user_space(guest->engine) && lac_engine_wants_looks(guest->engine)))
		return 0;
	guest->drowsy = false;
	err = lac_site_arm(&guest->sites[LACUNA_SITE_FORK], kvm, NULL);
	if (!err && lac_engine_wants_exits(guest->engine))
		err = lac_site_arm(&guest->sites[LACUNA_SITE_EXIT], kvm, NULL);
	return err;
}
