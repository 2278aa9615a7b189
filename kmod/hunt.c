// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "hunt.h"

#include <linux/delay.h>
#include <linux/jiffies.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "engine/space.h"
#include "event.h"
#include "hook.h"
#include "kvm.h"
#include "recording.h"
#include "sites.h"
#include "survey.h"

static unsigned int waiting_ms = 10 * 60 * MSEC_PER_SEC;
module_param(waiting_ms, uint, 0644);
MODULE_PARM_DESC(waiting_ms, "Milliseconds after which a guest that has started no kernel is given up, whatever it does");

/* Between looks whether bytes can be put back, and whether the vCPUs have left. */
#define RESTORE_MS 100
#define QUIET_MS 10
/* How long somebody who disarms a guest waits for that. */
#define DISARM_MS 5000
#define SETTLE_MS 10

static const char none_in_time[] = "no Linux kernel was started in time";

/* What a hunt needs. */
static const enum lac_hook hooks[] = { LAC_HOOK_CPUID, LAC_HOOK_EVENTS, LAC_HOOK_HYPERCALL, LAC_HOOK_MEMORY };

static void put_hooks(u32 number)
{
	while (number--)
		lac_hook_put(hooks[number]);
}

int lac_hunt_get_hooks(void)
{
	u32 i;
	int err;

	for (i = 0; i < ARRAY_SIZE(hooks); i++) {
		err = lac_hook_get(hooks[i]);
		if (err) {
			put_hooks(i);
			return err;
		}
	}
	return 0;
}

void lac_hunt_put_hooks(void)
{
	put_hooks(ARRAY_SIZE(hooks));
}

#define SITE_IS_STUCK "a trap site cannot be written"

static bool is_on(const struct lac_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	return guest->state == LACUNA_GUEST_WAITING || guest->state == LACUNA_GUEST_TRAPPING;
}

static void note_tasks_known(struct lac_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	if (!guest->stats.process_done_ns)
		guest->stats.process_done_ns = lac_guest_time(guest);
}

void lac_hunt_tasks_known(struct lac_guest *guest, struct kvm *kvm)
{
	int err = 0;

	lockdep_assert_held(&guest->engine_lock);
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_TRAPPING) {
		note_tasks_known(guest);
		err = lac_sites_release(guest, kvm, NULL);
	}
	mutex_unlock(&guest->lock);
	if (err)
		lac_hunt_end(guest, kvm, NULL, LACUNA_GUEST_FAILED, SITE_IS_STUCK);
}

void lac_hunt_move_sites(struct lac_guest *guest, struct kvm_vcpu *vcpu, u32 kind, bool builtin)
{
	bool tasks = lac_engine_settled(guest->engine, false), looks = lac_engine_wants_looks(guest->engine);
	int err = 0;

	lockdep_assert_held(&guest->engine_lock);
	if (tasks && lac_engine_settled(guest->engine, true) && !looks) {
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_DONE, NULL);
		return;
	}
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_TRAPPING) {
		if (tasks)
			note_tasks_known(guest);
		err = lac_sites_move(guest, vcpu, kind, builtin);
		if (tasks && looks)
			lac_survey_begin(guest);
	}
	mutex_unlock(&guest->lock);
	if (err)
		lac_hunt_end(guest, vcpu->kvm, vcpu, LACUNA_GUEST_FAILED, SITE_IS_STUCK);
}

void lac_hunt_wake(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	if (!READ_ONCE(guest->asleep) || !lac_kvm_paging(vcpu) || lac_kvm_cpl(vcpu) != 3)
		return;
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_TRAPPING && guest->asleep) {
		WRITE_ONCE(guest->asleep, false);
		guest->drowsy = true;
		lac_survey_begin(guest);
	}
	mutex_unlock(&guest->lock);
}

void lac_hunt_rouse(struct lac_guest *guest, struct kvm *kvm)
{
	int err = 0;

	lockdep_assert_held(&guest->engine_lock);
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_TRAPPING)
		err = lac_sites_rouse(guest, kvm);
	mutex_unlock(&guest->lock);
	if (err)
		lac_hunt_end(guest, kvm, NULL, LACUNA_GUEST_FAILED, SITE_IS_STUCK);
}

/* ---- begin and start ---- */

/* How long the hunt may go on as it is, in nanoseconds. */
static u64 time_left(const struct lac_guest *guest)
{
	bool waiting = guest->state == LACUNA_GUEST_WAITING;
	u64 limit = (u64)(waiting ? READ_ONCE(waiting_ms) : guest->orders.deadline_ms) * NSEC_PER_MSEC;
	u64 over = lac_guest_time(guest) - (waiting ? guest->waiting_ns : guest->stats.found_ns);

	lockdep_assert_held(&guest->lock);
	return over < limit ? limit - over : 0;
}

/* What is set already may be for a time that is not the right one any more. */
static void set_deadline(struct lac_guest *guest)
{
	lac_guest_cancel(guest, &guest->deadline_work);
	lac_guest_queue_delayed(guest, &guest->deadline_work, nsecs_to_jiffies(time_left(guest)) + 1);
}

void lac_hunt_wait_anew(struct lac_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	guest->stats.early_exits = 0;
	guest->waiting_ns = lac_guest_time(guest);
}

void lac_hunt_begin(struct lac_guest *guest, struct lac_engine *engine, struct lac_orders *orders)
{
	lockdep_assert_held(&guest->engine_lock);
	lockdep_assert_held(&guest->lock);
	guest->hooked = true;
	lac_engine_destroy(guest->engine);
	lac_recording_destroy(guest->recording);
	kvfree(guest->orders.kernels);
	guest->engine = engine;
	guest->members_nr = lac_engine_members(engine);
	memset(guest->members, 0, sizeof(guest->members));
	guest->recording = orders->record ? lac_recording_create() : NULL;
	guest->orders = *orders;
	memset(orders, 0, sizeof(*orders));
	guest->kernel = NULL;
	guest->reason = NULL;
	guest->seen_firmware = false;
	guest->nobody_inside = false;
	WRITE_ONCE(guest->asleep, false);
	guest->drowsy = false;
	guest->strange_exits = 0;
	memset(&guest->stats, 0, sizeof(guest->stats));
	guest->stats.armed_ns = lac_guest_time(guest);
	lac_hunt_wait_anew(guest);
	lac_guest_enter(guest, LACUNA_GUEST_WAITING);
	set_deadline(guest);
}

int lac_hunt_recognise(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space)
{
	struct lac_page page;
	int err = lac_translate(space, kernel->text + slide, &page);

	lockdep_assert_held(&guest->lock);
	if (err)
		return err;
	guest->kernel = kernel;
	guest->slide = slide;
	guest->text_gpa = page.gpa;
	guest->paging = space->paging;
	guest->root = 0;
	guest->stats.found_ns = lac_guest_time(guest);
	return 0;
}

int lac_hunt_start(struct lac_guest *guest, struct kvm_vcpu *vcpu, const struct lac_kernel *kernel, u64 slide,
		   struct lac_space *space)
{
	struct lac_facts facts = {
		.init_task = kernel->init_task + slide,
		.modules = kernel->modules ? kernel->modules + slide : 0,
		.text = kernel->text + slide,
		.end = kernel->end + slide,
	};
	struct lac_record_start start = {
		.magic = LAC_RECORDING_MAGIC,
		.init_task = facts.init_task,
		.modules = facts.modules,
		.text = facts.text,
		.end = facts.end,
	};
	int err;

	lockdep_assert_held(&guest->engine_lock);
	lockdep_assert_held(&guest->lock);
	err = lac_sites_locate(guest, kernel, slide, space);
	if (!err && lac_sites_are_logged(guest, vcpu->kvm))
		err = -ETXTBSY;
	if (!err)
		err = lac_hunt_recognise(guest, kernel, slide, space);
	if (err)
		return err;
	spin_lock(&guest->pending_lock);
	guest->pending_nr = 0;
	spin_unlock(&guest->pending_lock);
	lac_engine_start(guest->engine, &facts);
	lac_recording_add(guest->recording, LAC_RECORD_START, &start, sizeof(start));
	err = lac_sites_arm_first(guest, vcpu);
	/* some may be armed: it is not to be tried again as if nothing had happened */
	if (err)
		return err == -EAGAIN ? -EBUSY : err;
	lac_guest_enter(guest, LACUNA_GUEST_TRAPPING);
	set_deadline(guest);
	return 0;
}

/* ---- resets, and the virtual machine's end ---- */

void lac_hunt_reset(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	lockdep_assert_held(&guest->engine_lock);
	lockdep_assert_held(&guest->lock);
	lac_guest_cancel(guest, &guest->survey_work);
	lac_sites_release(guest, vcpu->kvm, vcpu);
	guest->kernel = NULL;
	guest->stats.first_trap_ns = 0;
	guest->stats.process_done_ns = 0;
	lac_hunt_wait_anew(guest);
	guest->seen_firmware = true;
	/* with paging on it is kexec, or it only seems to be: 32-bit firmware that a kernel has called looks the same */
	guest->nobody_inside = !lac_kvm_paging(vcpu);
	WRITE_ONCE(guest->asleep, false);
	guest->drowsy = false;
	guest->strange_exits = 0;
	memset(guest->members, 0, sizeof(guest->members));
	lac_guest_enter(guest, LACUNA_GUEST_WAITING);
	set_deadline(guest);
}

/* Is what was done with the guest over, so that it can be asked about again? */
static bool reset_if_over(struct lac_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	if (guest->state != LACUNA_GUEST_DONE && guest->state != LACUNA_GUEST_FAILED &&
	    guest->state != LACUNA_GUEST_IGNORED)
		return false;
	guest->kernel = NULL;
	guest->reason = NULL;
	lac_guest_enter(guest, LACUNA_GUEST_CREATED);
	return true;
}

bool lac_hunt_was_reset(struct lac_guest *guest)
{
	bool over = false;

	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_RESTORING || guest->retiring)
		guest->reset_pending = true;
	else
		over = reset_if_over(guest);
	if (guest->state == LACUNA_GUEST_WAITING)
		lac_hunt_wait_anew(guest);
	mutex_unlock(&guest->lock);
	return over;
}

/*
 * What comes back from a snapshot has been running since who knows when, whatever ran here before. If it was long on its way it
 * has been given up meanwhile.
 */
bool lac_hunt_was_restored(struct lac_guest *guest)
{
	bool over = false;

	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_WAITING) {
		guest->seen_firmware = false;
		guest->nobody_inside = false;
	}
	if (guest->reason == none_in_time) {
		if (guest->state == LACUNA_GUEST_RESTORING || guest->retiring)
			guest->reset_pending = true;
		else
			over = reset_if_over(guest);
	}
	mutex_unlock(&guest->lock);
	return over;
}

void lac_hunt_gone(struct lac_guest *guest)
{
	mutex_lock(&guest->lock);
	spin_lock(&guest->kvm_lock);
	WRITE_ONCE(guest->kvm, NULL);
	spin_unlock(&guest->kvm_lock);
	if (is_on(guest) || guest->state == LACUNA_GUEST_RESTORING)
		lac_guest_hurry(guest, &guest->retire_work);
	lac_guest_enter(guest, LACUNA_GUEST_GONE);
	mutex_unlock(&guest->lock);
	lac_guest_cancel(guest, &guest->deadline_work);
}

/* ---- the end ---- */

static void end(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu, u8 final, const char *why)
{
	int err;

	if (!is_on(guest))
		return;
	guest->reason = why;
	err = kvm ? lac_sites_release(guest, kvm, vcpu) : 0;
	if (err)
		pr_warn("guest %u (process %d): cannot put original bytes back yet: error %d\n", guest->id,
			guest->vmm_pid, err);
	guest->final = final;
	guest->stats.finished_ns = lac_guest_time(guest);
	lac_guest_enter(guest, LACUNA_GUEST_RESTORING);
	lac_guest_queue_delayed(guest, &guest->retire_work, 0);
}

void lac_hunt_end(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu, u8 final, const char *why)
{
	mutex_lock(&guest->lock);
	end(guest, kvm, vcpu, final, why);
	mutex_unlock(&guest->lock);
}

void lac_hunt_memory_changed(struct lac_guest *guest, struct kvm *kvm)
{
	bool copied;

	mutex_lock(&guest->lock);
	copied = guest->state == LACUNA_GUEST_TRAPPING && lac_sites_are_logged(guest, kvm);
	mutex_unlock(&guest->lock);
	if (copied)
		lac_hunt_end(guest, kvm, NULL, LACUNA_GUEST_DONE, LAC_MEMORY_IS_COPIED);
}

bool lac_hunt_has_just_ended(const struct lac_guest *guest)
{
	return READ_ONCE(guest->state) == LACUNA_GUEST_RESTORING &&
	       lac_guest_time(guest) - READ_ONCE(guest->stats.finished_ns) < NSEC_PER_SEC;
}

static void disarm(struct kvm *kvm, void *data)
{
	lac_hunt_end(data, kvm, NULL, LACUNA_GUEST_IGNORED, "disarmed");
}

/* Not that of a wait or of a hunt that is over, when another has begun since. */
static void end_if_late(struct kvm *kvm, void *data)
{
	struct lac_guest *guest = data;

	mutex_lock(&guest->lock);
	if (is_on(guest) && time_left(guest))
		set_deadline(guest);
	else if (guest->state == LACUNA_GUEST_WAITING)
		end(guest, kvm, NULL, LACUNA_GUEST_FAILED, none_in_time);
	else if (guest->state == LACUNA_GUEST_TRAPPING)
		end(guest, kvm, NULL, LACUNA_GUEST_DONE, "the deadline of trapping was reached");
	mutex_unlock(&guest->lock);
}

/* Without the VMM's address space nothing can be written, and no vCPU can run either (KVM_RUN insists on it). */
static void end_from_thread(struct lac_guest *guest, void (*call)(struct kvm *kvm, void *data))
{
	struct kvm *kvm = lac_guest_kvm(guest);

	if (!kvm)
		return;
	if (!lac_kvm_in_space(kvm, call, guest))
		call(NULL, guest);
	kvm_put_kvm(kvm);
}

static void end_from_outside(struct work_struct *work)
{
	struct lac_guest *guest = container_of(work, struct lac_guest, end_work);

	end_from_thread(guest, disarm);
	lac_guest_put(guest);
}

static void deadline_reached(struct work_struct *work)
{
	struct lac_guest *guest = container_of(to_delayed_work(work), struct lac_guest, deadline_work);

	end_from_thread(guest, end_if_late);
	lac_guest_put(guest);
}

static void release_in_space(struct kvm *kvm, void *data)
{
	struct lac_guest *guest = data;

	mutex_lock(&guest->lock);
	lac_sites_release(guest, kvm, NULL);
	mutex_unlock(&guest->lock);
}

/* Guest memory can be out of reach, for a moment or for long: paged out, being migrated, or kept back by who answers for it. */
static bool bytes_are_back(struct lac_guest *guest)
{
	struct kvm *kvm;
	bool alive;

	if (!lac_sites_any_armed(guest))
		return true;
	kvm = lac_guest_kvm(guest);
	if (!kvm)
		return true;
	alive = lac_kvm_in_space(kvm, release_in_space, guest);
	kvm_put_kvm(kvm);
	return !alive || !lac_sites_any_armed(guest);
}

/* A vCPU may be on its way from a trap to our hook: only when none is can the hooks go. A guest that is going away has none. */
static bool vcpus_have_left(struct lac_guest *guest)
{
	struct kvm *kvm = lac_guest_kvm(guest);
	bool quiet;

	if (!kvm)
		return true;
	if (!guest->quiescing)
		guest->quiet_since = lac_kvm_start_quiescing(kvm);
	guest->quiescing = true;
	quiet = lac_kvm_is_quiet(kvm, guest->quiet_since);
	kvm_put_kvm(kvm);
	return quiet;
}

/*
 * As long as a trap is in place it must be answered, unless the module goes: then what could not be reached all the time is left as
 * it is. The guest has not been able to execute it either; nor have vCPUs that are still at an exit been on their way from a trap,
 * as KVM waits for nothing between that and our hook but the page by which a guest signals the end of interrupts (PV EOI).
 */
static bool can_retire(struct lac_guest *guest)
{
	bool abandoned = READ_ONCE(guest->abandoned), back = bytes_are_back(guest);

	if (!back && abandoned)
		pr_err("guest %u (process %d): its original bytes cannot be put back, its memory does not answer: reset it\n",
		       guest->id, guest->vmm_pid);
	return (back || abandoned) && (vcpus_have_left(guest) || abandoned);
}

/* What is open when the hunt ends stays open for good. */
static void close_members(struct lac_guest *guest)
{
	u32 i;

	lockdep_assert_held(&guest->lock);
	for (i = 0; i < guest->members_nr; i++)
		if (guest->members[i].state == LACUNA_OPEN)
			guest->members[i].state = LACUNA_AMBIGUOUS;
}

/* What has to be waited for is looked at again later: no thread waits for a guest. */
static void retire(struct work_struct *work)
{
	struct lac_guest *guest = container_of(to_delayed_work(work), struct lac_guest, retire_work);
	bool hooked, reset;
	u8 state;

	if (!can_retire(guest)) {
		lac_guest_queue_delayed(guest, &guest->retire_work,
					msecs_to_jiffies(guest->quiescing ? QUIET_MS : RESTORE_MS));
		lac_guest_put(guest);
		return;
	}
	mutex_lock(&guest->engine_lock);
	mutex_lock(&guest->lock);
	hooked = guest->hooked;
	guest->hooked = false;
	guest->quiescing = false;
	lac_sites_forget(guest);
	lac_engine_destroy(guest->engine);
	guest->engine = NULL;
	close_members(guest);
	lac_guest_cancel(guest, &guest->deadline_work);
	lac_guest_cancel(guest, &guest->survey_work);
	if (guest->state == LACUNA_GUEST_RESTORING)
		lac_guest_enter(guest, guest->final);
	state = guest->state;
	guest->retiring = true;
	mutex_unlock(&guest->lock);
	mutex_unlock(&guest->engine_lock);
	if (hooked)
		lac_hunt_put_hooks();
	if (state != LACUNA_GUEST_GONE)
		lac_guest_tell(guest, state == LACUNA_GUEST_FAILED ? LACUNA_EVENT_FAILED : LACUNA_EVENT_FINISHED);
	mutex_lock(&guest->lock);
	guest->retiring = false;
	reset = guest->reset_pending && reset_if_over(guest);
	guest->reset_pending = false;
	mutex_unlock(&guest->lock);
	if (reset)
		lac_guest_tell(guest, LACUNA_EVENT_RESET);
	lac_guest_put(guest);
}

/* Without the guest's lock, which is held as long as its memory is searched for a kernel. */
static bool is_over(struct lac_guest *guest)
{
	u8 state = READ_ONCE(guest->state);

	return state != LACUNA_GUEST_WAITING && state != LACUNA_GUEST_TRAPPING && state != LACUNA_GUEST_RESTORING;
}

void lac_hunt_order_end(struct lac_guest *guest)
{
	lac_guest_queue(guest, &guest->end_work);
}

int lac_hunt_disarm(struct lac_guest *guest)
{
	unsigned long until = jiffies + msecs_to_jiffies(DISARM_MS);

	might_sleep();
	if (is_over(guest))
		return 0;
	lac_hunt_order_end(guest);
	while (!is_over(guest)) {
		if (time_after(jiffies, until))
			return -EINPROGRESS;
		if (msleep_interruptible(SETTLE_MS))
			return -EINTR;
	}
	/* it has ended otherwise: the order is not for a hunt that begins now */
	if (cancel_work(&guest->end_work))
		lac_guest_put(guest);
	return 0;
}

void lac_hunt_stop(struct lac_guest *guest, unsigned long until)
{
	flush_work(&guest->end_work);
	/* whatever signal has come for whoever unloads the module: the guest's bytes come first, and it is not for long */
	while (!is_over(guest) && !time_after(jiffies, until))
		msleep(SETTLE_MS);
	if (!is_over(guest))
		WRITE_ONCE(guest->abandoned, true);
	for (;;) {
		flush_delayed_work(&guest->retire_work);
		if (is_over(guest))
			break;
		msleep(SETTLE_MS); /* until the virtual machine that is going away has gone: nothing else is left to be done */
	}
	if (cancel_delayed_work_sync(&guest->deadline_work))
		lac_guest_put(guest);
	if (cancel_delayed_work_sync(&guest->survey_work))
		lac_guest_put(guest);
}

void lac_hunt_init(struct lac_guest *guest)
{
	INIT_WORK(&guest->end_work, end_from_outside);
	INIT_DELAYED_WORK(&guest->deadline_work, deadline_reached);
	INIT_DELAYED_WORK(&guest->retire_work, retire);
	lac_survey_init(guest);
}
