// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "guest.h"

#include <linux/delay.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include "hook.h"
#include "kvm.h"
#include "netlink.h"
#include "recording.h"

static unsigned int hold_ms = 1000;
module_param(hold_ms, uint, 0644);
MODULE_PARM_DESC(hold_ms, "Milliseconds a new guest is held back until the daemon has decided about it");

#define RETRY_MS 100

static LIST_HEAD(guests); /* RCU; added and removed under guests_lock */
static DEFINE_MUTEX(guests_lock);
static u32 last_id;
static bool closing;
static struct lacuna_constraints *constraints;
static struct workqueue_struct *work_queue;

static void end_from_outside(struct work_struct *work);
static void deadline_reached(struct work_struct *work);
static void retire(struct work_struct *work);

static void free_orders(struct lac_orders *orders)
{
	kvfree(orders->kernels);
	memset(orders, 0, sizeof(*orders));
}

static void release_guest(struct kref *ref)
{
	struct lac_guest *guest = container_of(ref, struct lac_guest, ref);

	lac_engine_destroy(guest->engine);
	lac_recording_destroy(guest->recording);
	free_orders(&guest->orders);
	kfree_rcu(guest, rcu);
}

void lac_guest_put(struct lac_guest *guest)
{
	kref_put(&guest->ref, release_guest);
}

static void queue(struct lac_guest *guest, struct work_struct *work)
{
	kref_get(&guest->ref);
	if (!queue_work(work_queue, work))
		lac_guest_put(guest);
}

struct lac_guest *lac_guest_find(const struct kvm *kvm)
{
	struct lac_guest *guest, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(guest, &guests, entry) {
		if (READ_ONCE(guest->kvm) == kvm && kref_get_unless_zero(&guest->ref)) {
			found = guest;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

/* Guests are listed in the order of their numbers. */
struct lac_guest *lac_guest_next(u32 id)
{
	struct lac_guest *guest, *found = NULL;

	rcu_read_lock();
	list_for_each_entry_rcu(guest, &guests, entry) {
		if (guest->id >= id && kref_get_unless_zero(&guest->ref)) {
			found = guest;
			break;
		}
	}
	rcu_read_unlock();
	return found;
}

struct lac_guest *lac_guest_find_id(u32 id)
{
	struct lac_guest *guest = lac_guest_next(id);

	if (guest && guest->id != id) {
		lac_guest_put(guest);
		return NULL;
	}
	return guest;
}

struct kvm *lac_guest_kvm(struct lac_guest *guest)
{
	struct kvm *kvm;

	spin_lock(&guest->kvm_lock);
	kvm = guest->kvm ? lac_kvm_get(guest->kvm) : NULL;
	spin_unlock(&guest->kvm_lock);
	return kvm;
}

u64 lac_guest_time(const struct lac_guest *guest)
{
	return ktime_get_ns() - guest->created_ns;
}

int lac_guests_set_constraints(const struct lacuna_constraints *set)
{
	struct lacuna_constraints *copy = kvmalloc(sizeof(*copy), GFP_KERNEL), *old;

	if (!copy)
		return -ENOMEM;
	*copy = *set;
	mutex_lock(&guests_lock);
	old = constraints;
	constraints = copy;
	mutex_unlock(&guests_lock);
	kvfree(old);
	return 0;
}

static struct lac_engine *new_engine(u32 *members_nr)
{
	struct lac_engine *engine = NULL;

	mutex_lock(&guests_lock);
	if (constraints) {
		engine = lac_engine_create(constraints);
		*members_nr = constraints->members_nr;
	}
	mutex_unlock(&guests_lock);
	return engine;
}

/* ---- birth and death ---- */

static struct lac_guest *make_guest(struct kvm *kvm, pid_t vmm_pid)
{
	struct lac_guest *guest = kzalloc(sizeof(*guest), GFP_KERNEL);

	if (!guest)
		return NULL;
	kref_init(&guest->ref);
	spin_lock_init(&guest->kvm_lock);
	spin_lock_init(&guest->pending_lock);
	spin_lock_init(&guest->stats_lock);
	mutex_init(&guest->lock);
	mutex_init(&guest->filter);
	init_waitqueue_head(&guest->decided);
	INIT_WORK(&guest->end_work, end_from_outside);
	INIT_DELAYED_WORK(&guest->deadline_work, deadline_reached);
	INIT_WORK(&guest->retire_work, retire);
	guest->kvm = kvm;
	guest->vmm_pid = vmm_pid;
	guest->created_ns = ktime_get_ns();
	guest->look_again = jiffies;
	return guest;
}

/* The list holds the guest's first reference, the caller gets another. */
static struct lac_guest *add_guest(struct kvm *kvm, pid_t vmm_pid)
{
	struct lac_guest *guest = make_guest(kvm, vmm_pid), *known;

	if (!guest)
		return NULL;
	mutex_lock(&guests_lock);
	known = lac_guest_find(kvm);
	if (known || closing) {
		mutex_unlock(&guests_lock);
		lac_guest_put(guest);
		if (known)
			lac_guest_put(known);
		return NULL;
	}
	guest->id = ++last_id;
	kref_get(&guest->ref);
	list_add_tail_rcu(&guest->entry, &guests);
	mutex_unlock(&guests_lock);
	return guest;
}

/* Waits for what is to be done with the guest; when nobody listens nobody would answer. */
static void ask(struct lac_guest *guest, enum lacuna_event event)
{
	if (!lac_netlink_notify(guest, event))
		wait_event_killable_timeout(guest->decided,
					    READ_ONCE(guest->state) != LACUNA_GUEST_CREATED || READ_ONCE(closing),
					    msecs_to_jiffies(READ_ONCE(hold_ms)));
}

void lac_guest_created(struct kvm *kvm)
{
	struct lac_guest *guest = lac_guest_find(kvm);

	if (!guest) {
		guest = add_guest(kvm, task_tgid_nr(current));
		if (!guest)
			return;
		ask(guest, LACUNA_EVENT_CREATED);
	}
	lac_guest_put(guest);
}

struct lac_guest *lac_guest_adopt(struct kvm *kvm, pid_t vmm_pid)
{
	struct lac_guest *guest = lac_guest_find(kvm);

	return guest ? guest : add_guest(kvm, vmm_pid);
}

/* Whether what was done with the guest is over, so that it can be asked about again. */
static bool begin_anew(struct lac_guest *guest)
{
	if (guest->state != LACUNA_GUEST_DONE && guest->state != LACUNA_GUEST_FAILED &&
	    guest->state != LACUNA_GUEST_IGNORED)
		return false;
	guest->kernel = NULL;
	guest->reason = NULL;
	WRITE_ONCE(guest->state, LACUNA_GUEST_CREATED);
	return true;
}

/* From here on it is counted and timed how long no kernel comes. */
static void start_waiting(struct lac_guest *guest)
{
	guest->stats.early_exits = 0;
	guest->waiting_ns = lac_guest_time(guest);
}

/* While a hunt is ending there is nothing to be asked: retire() does it then. */
void lac_guest_was_reset(struct kvm *kvm)
{
	struct lac_guest *guest = lac_guest_find(kvm);
	bool over = false;

	if (!guest)
		return;
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_RESTORING || guest->retiring)
		guest->reset_meanwhile = true;
	else
		over = begin_anew(guest);
	if (guest->state == LACUNA_GUEST_WAITING)
		start_waiting(guest);
	mutex_unlock(&guest->lock);
	if (over)
		ask(guest, LACUNA_EVENT_RESET);
	lac_guest_put(guest);
}

/* What comes back from a snapshot has been running since who knows when, whatever ran here before. */
void lac_guest_was_restored(struct kvm *kvm)
{
	struct lac_guest *guest = lac_guest_find(kvm);

	if (!guest)
		return;
	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_WAITING)
		guest->seen_firmware = false;
	mutex_unlock(&guest->lock);
	lac_guest_put(guest);
}

void lac_guest_gone(struct kvm *kvm)
{
	struct lac_guest *guest = lac_guest_find(kvm);

	if (!guest)
		return;
	mutex_lock(&guests_lock);
	list_del_rcu(&guest->entry);
	mutex_unlock(&guests_lock);
	mutex_lock(&guest->lock);
	spin_lock(&guest->kvm_lock);
	WRITE_ONCE(guest->kvm, NULL);
	spin_unlock(&guest->kvm_lock);
	guest->final = LACUNA_GUEST_GONE;
	if (guest->state == LACUNA_GUEST_WAITING || guest->state == LACUNA_GUEST_TRAPPING)
		queue(guest, &guest->retire_work);
	WRITE_ONCE(guest->state, LACUNA_GUEST_GONE);
	mutex_unlock(&guest->lock);
	if (cancel_delayed_work(&guest->deadline_work))
		lac_guest_put(guest);
	lac_netlink_notify(guest, LACUNA_EVENT_GONE);
	lac_guest_put(guest); /* the list's */
	lac_guest_put(guest);
}

/* ---- orders ---- */

/* What a hunt needs. */
static const enum lac_hook hunting[] = { LAC_HOOK_CPUID, LAC_HOOK_EVENTS, LAC_HOOK_HYPERCALL, LAC_HOOK_MEMORY };

static void put_hooks(u32 number)
{
	while (number--)
		lac_hook_put(hunting[number]);
}

static int get_hooks(struct lac_guest *guest)
{
	u32 i;
	int err;

	for (i = 0; i < ARRAY_SIZE(hunting); i++) {
		err = lac_hook_get(hunting[i]);
		if (err) {
			put_hooks(i);
			return err;
		}
	}
	guest->hooked = true;
	return 0;
}

static int can_arm(const struct lac_guest *guest)
{
	switch (guest->state) {
	case LACUNA_GUEST_WAITING:
	case LACUNA_GUEST_TRAPPING:
	case LACUNA_GUEST_RESTORING:
		return -EBUSY;
	case LACUNA_GUEST_GONE:
		return -ESHUTDOWN;
	}
	return READ_ONCE(closing) ? -ESHUTDOWN : 0;
}

static int take_orders(struct lac_guest *guest, struct lac_orders *orders)
{
	u32 members_nr = 0;
	struct lac_engine *engine = new_engine(&members_nr);
	int err;

	if (!engine)
		return constraints ? -ENOMEM : -ENODATA;
	err = get_hooks(guest);
	if (err) {
		lac_engine_destroy(engine);
		return err;
	}
	lac_engine_destroy(guest->engine);
	lac_recording_destroy(guest->recording);
	free_orders(&guest->orders);
	guest->engine = engine;
	guest->members_nr = members_nr;
	memset(guest->members, 0, sizeof(guest->members));
	guest->recording = orders->record ? lac_recording_create() : NULL;
	guest->orders = *orders;
	memset(orders, 0, sizeof(*orders));
	guest->kernel = NULL;
	guest->reason = NULL;
	guest->seen_firmware = false;
	guest->strange_exits = 0;
	memset(&guest->stats, 0, sizeof(guest->stats));
	guest->stats.armed_ns = lac_guest_time(guest);
	start_waiting(guest);
	return 0;
}

int lac_guest_arm(struct lac_guest *guest, struct lac_orders *orders)
{
	int err;

	mutex_lock(&guest->filter);
	mutex_lock(&guest->lock);
	err = can_arm(guest);
	if (!err)
		err = take_orders(guest, orders);
	if (!err)
		WRITE_ONCE(guest->state, LACUNA_GUEST_WAITING);
	mutex_unlock(&guest->lock);
	mutex_unlock(&guest->filter);
	wake_up_all(&guest->decided);
	return err;
}

int lac_guest_ignore(struct lac_guest *guest)
{
	int err = 0;

	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_CREATED)
		WRITE_ONCE(guest->state, LACUNA_GUEST_IGNORED);
	else if (guest->state != LACUNA_GUEST_IGNORED)
		err = -EBUSY;
	mutex_unlock(&guest->lock);
	wake_up_all(&guest->decided);
	return err;
}

/* ---- the hunt ---- */

static int locate_sites(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space)
{
	u32 i;
	int err;

	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		const struct lac_site_descriptor *d = &kernel->sites[i];

		err = lac_site_locate(&guest->sites[i], d, slide, space);
		if (err)
			return err;
		/* Only while the one vCPU that runs has just left the firmware is nobody inside of them. */
		if (!lac_site_is_single(d) && !guest->seen_firmware)
			return -EXDEV;
	}
	return 0;
}

/* Whoever copies the page of a site copies the trap with it, to where no module answers it. */
static bool sites_are_logged(const struct lac_guest *guest, struct kvm *kvm)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		if (guest->sites[i].va && lac_kvm_is_logged(kvm, guest->sites[i].gpa))
			return true;
	return false;
}

static void forget_sites(struct lac_guest *guest)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		WRITE_ONCE(guest->sites[i].va, 0);
}

static int arm_first_sites(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	int err = lac_site_arm(&guest->sites[LACUNA_SITE_FORK], vcpu->kvm, vcpu);

	if (!err)
		err = lac_site_arm(&guest->sites[LACUNA_SITE_EXIT], vcpu->kvm, vcpu);
	/* else only once user space runs: what is initialised before are the kernel's own parts */
	if (!err && (!guest->seen_firmware || !lac_site_is_single(&guest->sites[LACUNA_SITE_INITCALL].descriptor)))
		err = lac_site_arm(&guest->sites[LACUNA_SITE_INITCALL], vcpu->kvm, vcpu);
	return err;
}

static int note_kernel(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space)
{
	struct lac_page page;
	int err = lac_translate(space, kernel->text + slide, &page);

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

/* A banner may be that of another build (reproducible ones fix the time in it); the code at the trap sites hardly is. */
int lac_guest_recognise(struct lac_guest *guest, const struct lac_kernel *kernel, u64 slide, struct lac_space *space)
{
	struct lac_site site;
	u32 i;
	int err;

	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		err = lac_site_locate(&site, &kernel->sites[i], slide, space);
		if (err)
			return err;
	}
	return note_kernel(guest, kernel, slide, space);
}

int lac_guest_start(struct lac_guest *guest, struct kvm_vcpu *vcpu, const struct lac_kernel *kernel, u64 slide,
		    struct lac_space *space)
{
	struct lac_facts facts = {
		.init_task = kernel->init_task + slide,
		.modules = kernel->modules + slide,
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

	err = locate_sites(guest, kernel, slide, space);
	if (!err && sites_are_logged(guest, vcpu->kvm))
		err = -ETXTBSY;
	if (!err)
		err = note_kernel(guest, kernel, slide, space);
	if (err)
		return err;
	spin_lock(&guest->pending_lock);
	guest->pending_nr = 0;
	spin_unlock(&guest->pending_lock);
	lac_engine_start(guest->engine, &facts);
	lac_recording_add(guest->recording, LAC_RECORD_START, &start, sizeof(start));
	err = arm_first_sites(guest, vcpu);
	if (err)
		return err;
	WRITE_ONCE(guest->state, LACUNA_GUEST_TRAPPING);
	kref_get(&guest->ref);
	if (!queue_delayed_work(work_queue, &guest->deadline_work, msecs_to_jiffies(guest->orders.deadline_ms)))
		lac_guest_put(guest);
	return 0;
}

static int release_sites(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu)
{
	int err = 0, one;
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		one = lac_site_release(&guest->sites[i], kvm, vcpu);
		if (one)
			err = one;
	}
	return err;
}

void lac_guest_restart(struct lac_guest *guest, struct kvm_vcpu *vcpu)
{
	if (cancel_delayed_work(&guest->deadline_work))
		lac_guest_put(guest);
	release_sites(guest, vcpu->kvm, vcpu);
	guest->kernel = NULL;
	guest->stats.first_trap_ns = 0;
	guest->stats.process_done_ns = 0;
	start_waiting(guest);
	guest->seen_firmware = true;
	guest->strange_exits = 0;
	memset(guest->members, 0, sizeof(guest->members));
	WRITE_ONCE(guest->state, LACUNA_GUEST_WAITING);
}

void lac_guest_end(struct lac_guest *guest, struct kvm *kvm, struct kvm_vcpu *vcpu, u8 final, const char *why)
{
	int err;

	mutex_lock(&guest->lock);
	if (guest->state == LACUNA_GUEST_WAITING || guest->state == LACUNA_GUEST_TRAPPING) {
		guest->reason = why;
		err = kvm ? release_sites(guest, kvm, vcpu) : 0;
		if (err)
			pr_warn("guest %u (process %d): cannot put original bytes back yet: error %d\n", guest->id,
				guest->vmm_pid, err);
		guest->final = final;
		guest->stats.finished_ns = lac_guest_time(guest);
		WRITE_ONCE(guest->state, LACUNA_GUEST_RESTORING);
		queue(guest, &guest->retire_work);
	}
	mutex_unlock(&guest->lock);
}

void lac_guest_memory_changed(struct lac_guest *guest, struct kvm *kvm)
{
	bool copied;

	mutex_lock(&guest->lock);
	copied = guest->state == LACUNA_GUEST_TRAPPING && sites_are_logged(guest, kvm);
	mutex_unlock(&guest->lock);
	if (copied)
		lac_guest_end(guest, kvm, NULL, LACUNA_GUEST_DONE, LAC_MEMORY_IS_COPIED);
}

struct ending {
	struct lac_guest *guest;
	u8 final;
	const char *why;
};

static void end_in_space(struct kvm *kvm, void *data)
{
	struct ending *ending = data;

	lac_guest_end(ending->guest, kvm, NULL, ending->final, ending->why);
}

/* Without the VMM's address space nothing can be written, and no vCPU can run either (KVM_RUN insists on it). */

static void end_from_thread(struct lac_guest *guest, u8 final, const char *why)
{
	struct ending ending = { .guest = guest, .final = final, .why = why };
	struct kvm *kvm = lac_guest_kvm(guest);

	if (!kvm)
		return;
	if (!lac_kvm_in_space(kvm, end_in_space, &ending))
		lac_guest_end(guest, NULL, NULL, final, why);
	kvm_put_kvm(kvm);
}

static void end_from_outside(struct work_struct *work)
{
	struct lac_guest *guest = container_of(work, struct lac_guest, end_work);

	end_from_thread(guest, LACUNA_GUEST_IGNORED, "disarmed");
	lac_guest_put(guest);
}

static void deadline_reached(struct work_struct *work)
{
	struct lac_guest *guest = container_of(to_delayed_work(work), struct lac_guest, deadline_work);

	/* not that of a hunt that is over, when another has begun since */
	if (READ_ONCE(guest->state) == LACUNA_GUEST_TRAPPING &&
	    lac_guest_time(guest) - READ_ONCE(guest->stats.found_ns) >= (u64)guest->orders.deadline_ms * NSEC_PER_MSEC)
		end_from_thread(guest, LACUNA_GUEST_DONE, "the deadline of trapping was reached");
	lac_guest_put(guest);
}

static void release_in_space(struct kvm *kvm, void *data)
{
	struct lac_guest *guest = data;

	mutex_lock(&guest->lock);
	release_sites(guest, kvm, NULL);
	mutex_unlock(&guest->lock);
}

static bool any_site_armed(struct lac_guest *guest)
{
	u32 i;

	for (i = 0; i < LACUNA_SITE_KINDS; i++)
		if (READ_ONCE(guest->sites[i].armed))
			return true;
	return false;
}

/* Guest memory can be out of reach for a moment, for instance while the VMM moves its memory slots. */
static bool bytes_are_back(struct lac_guest *guest)
{
	struct kvm *kvm;
	bool alive;

	if (!any_site_armed(guest))
		return true;
	kvm = lac_guest_kvm(guest);
	if (!kvm)
		return true;
	alive = lac_kvm_in_space(kvm, release_in_space, guest);
	kvm_put_kvm(kvm);
	return !alive || !any_site_armed(guest);
}

/* What is open when the hunt ends stays open for good. */
static void close_members(struct lac_guest *guest)
{
	u32 i;

	for (i = 0; i < guest->members_nr; i++)
		if (guest->members[i].state == LACUNA_OPEN)
			guest->members[i].state = LACUNA_AMBIGUOUS;
}

/* The bytes are back, but a vCPU may be on its way from a trap to our hook: only when none is can the hooks go. */
static void retire(struct work_struct *work)
{
	struct lac_guest *guest = container_of(work, struct lac_guest, retire_work);
	struct kvm *kvm;
	bool hooked, reset;
	u8 state;

	/* as long as a trap is in place it must be answered */
	while (!bytes_are_back(guest))
		msleep(RETRY_MS);
	kvm = lac_guest_kvm(guest);
	if (kvm)
		lac_kvm_quiesce(kvm);
	mutex_lock(&guest->filter);
	mutex_lock(&guest->lock);
	hooked = guest->hooked;
	guest->hooked = false;
	forget_sites(guest);
	lac_engine_destroy(guest->engine);
	guest->engine = NULL;
	close_members(guest);
	if (cancel_delayed_work(&guest->deadline_work))
		lac_guest_put(guest);
	if (guest->state == LACUNA_GUEST_RESTORING)
		WRITE_ONCE(guest->state, guest->final);
	state = guest->state;
	guest->retiring = true;
	mutex_unlock(&guest->lock);
	mutex_unlock(&guest->filter);
	if (hooked)
		put_hooks(ARRAY_SIZE(hunting));
	if (state != LACUNA_GUEST_GONE)
		lac_netlink_notify(guest,
				   state == LACUNA_GUEST_FAILED ? LACUNA_EVENT_FAILED : LACUNA_EVENT_FINISHED);
	mutex_lock(&guest->lock);
	guest->retiring = false;
	reset = guest->reset_meanwhile && begin_anew(guest);
	guest->reset_meanwhile = false;
	mutex_unlock(&guest->lock);
	if (reset)
		lac_netlink_notify(guest, LACUNA_EVENT_RESET);
	if (kvm)
		kvm_put_kvm(kvm);
	lac_guest_put(guest);
}

void lac_guest_disarm(struct lac_guest *guest)
{
	queue(guest, &guest->end_work);
	flush_work(&guest->end_work);
	flush_work(&guest->retire_work);
}

/* ---- reading from outside ---- */

struct read_work {
	struct work_struct work;
	struct kvm *kvm;
	u64 gpa;
	void *buffer;
	u32 len;
	int err;
};

static void read_in_space(struct kvm *kvm, void *data)
{
	struct read_work *read = data;

	read->err = lac_kvm_read(kvm, read->gpa, read->buffer, read->len);
}

static void do_read(struct work_struct *work)
{
	struct read_work *read = container_of(work, struct read_work, work);

	if (!lac_kvm_in_space(read->kvm, read_in_space, read))
		read->err = -ESHUTDOWN;
}

int lac_guest_read(struct lac_guest *guest, u64 gpa, void *buffer, u32 len)
{
	struct read_work read = { .kvm = lac_guest_kvm(guest), .gpa = gpa, .buffer = buffer, .len = len };

	if (!read.kvm)
		return -ESHUTDOWN;
	INIT_WORK_ONSTACK(&read.work, do_read);
	queue_work(work_queue, &read.work);
	flush_work(&read.work);
	destroy_work_on_stack(&read.work);
	kvm_put_kvm(read.kvm);
	return read.err;
}

/* ---- the registry ---- */

int lac_guests_init(void)
{
	int err;

	work_queue = alloc_workqueue("lacuna", WQ_UNBOUND, 0);
	if (!work_queue)
		return -ENOMEM;
	err = lac_hook_get(LAC_HOOK_VM_DESTROYED);
	if (err)
		destroy_workqueue(work_queue);
	return err;
}

static void drop_all(void)
{
	struct lac_guest *guest;

	for (guest = lac_guest_next(0); guest; guest = lac_guest_next(0)) {
		mutex_lock(&guests_lock);
		list_del_rcu(&guest->entry);
		mutex_unlock(&guests_lock);
		lac_guest_put(guest); /* the list's */
		lac_guest_put(guest);
	}
}

void lac_guests_exit(void)
{
	struct lac_guest *guest;
	u32 id;

	WRITE_ONCE(closing, true);
	for (guest = lac_guest_next(0); guest; guest = lac_guest_next(id + 1)) {
		id = guest->id;
		wake_up_all(&guest->decided);
		lac_guest_disarm(guest);
		if (cancel_delayed_work_sync(&guest->deadline_work))
			lac_guest_put(guest);
		lac_guest_put(guest);
	}
	lac_hook_put(LAC_HOOK_VM_DESTROYED);
	lac_hook_drain();
	/* what guests that went meanwhile have left to be done, and who was still inside of the hooks that go with it */
	flush_workqueue(work_queue);
	lac_hook_drain();
	drop_all();
	destroy_workqueue(work_queue);
	rcu_barrier();
	kvfree(constraints);
}
