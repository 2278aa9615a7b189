/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The elimination engine.
 *
 * It is given events of a guest (a fork, an exit, a module's init function about to run), reads the structures behind
 * them and strikes the candidate offsets at which a member's constraints do not hold. The rules that keep it honest:
 *
 * One question per event. For each member the engine asks all its predicates of all its candidates and gets, for each
 * candidate, one of: refuted, silent, fits, witnessed (it fits, and a predicate that shows the member at work says so),
 * or unknown (what would decide could not be read).
 *
 * An event at which no candidate fits teaches nothing. A list caught in mid-update, a page that is not present, an
 * instance that is something else than thought: the true candidate fails there, and with it all the others. Only when
 * some candidate fits is the reading known to be good, and only then do those that are refuted get a strike. A candidate
 * that is silent, or about which nothing could be read, gets none.
 *
 * One strike does not kill. A candidate is gone when `strikes` events spoke against it, so one bad reading that happens
 * to favour a wrong candidate cannot remove the right one.
 *
 * A survivor must prove itself. A member is resolved when one candidate was seen at work at `witnesses` events in
 * `instances` different instances, and no other that is left ever was: what one did that often and they never did, they
 * do not do. Two that were both seen at work stay, until events speak against one of them, and what has made the survivor
 * the only one does not yet confirm it: it must be seen at work once more.
 *
 * Two that are the same so far. Where all that were seen at work had the same value in every instance since, no event told
 * them apart, and either serves a reader as long as that is so: the member is tied. One difference, ever, and it is not.
 *
 * And it is asked on. As long as there are events the survivor must go on fitting: one that fails again and again was not
 * the truth, and the member is contradicted, and so is every member that was derived from it.
 *
 * What is known is not asked again. A kernel thread that forks once more, two candidates that have the same value here as they
 * always had: such an event teaches nothing, and little of the guest is read for it. What has been found is asked on now and then.
 *
 * The engine has no locks, no clock, and takes memory only when it is made; it is the caller's to call it from one
 * thread at a time.
 */
#ifndef LACUNA_ENGINE_H
#define LACUNA_ENGINE_H

#include <lacuna/abi.h>

#include "shim.h"
#include "space.h"

struct lac_engine;

/* Run-time GVAs of the guest's kernel. One below 4 GiB is an i386 kernel. */
struct lac_facts {
	u64 init_task;
	u64 modules; /* the list head; 0: the kernel has no modules, so what is asked of them is absent */
	u64 text; /* the kernel image: text <= built-in code < end */
	u64 end;
};

#define LAC_LISTED_MODULE 0 /* no function: the next of the modules that were initialised long ago */

struct lac_event {
	u8 on; /* one of LACUNA_ON_* */
	u8 paging; /* enum lacuna_paging */
	u64 subject; /* fork: the current task; exit: the task being released; initcall: the function, or LAC_LISTED_MODULE; look: nothing */
	u64 cr3; /* look: not used, the kernel's own root is */
};

enum lac_used {
	LAC_USED,
	LAC_NO_INSTANCE, /* the structure could not be found or read */
	LAC_BUILTIN, /* an initcall of the kernel itself */
};

/* 0, or -EINVAL: not a well-formed set of this version. Everything the engine relies on later is checked here. */
int lac_constraints_check(const struct lacuna_constraints *set);

/* Bytes that an engine of the checked @set takes, once and for all. */
size_t lac_engine_size(const struct lacuna_constraints *set);

/* A copy of the checked @set is kept. NULL: out of memory. */
struct lac_engine *lac_engine_create(const struct lacuna_constraints *set);
void lac_engine_destroy(struct lac_engine *engine);

/* Forgets everything learned: the guest starts (again). */
void lac_engine_start(struct lac_engine *engine, const struct lac_facts *facts);

enum lac_used lac_engine_event(struct lac_engine *engine, const struct lac_event *event,
			       const struct lac_memory *memory);

#define LAC_ALL_TASKS 0

/* The task at @task is about to be freed, and no event could be made of it; LAC_ALL_TASKS: any may be. */
void lac_engine_forget(struct lac_engine *engine, u64 task);

/*
 * Is nothing more to be learned from events of tasks (@modules: of modules)? Of what is tied such events hardly tell more, but
 * looks may.
 */
bool lac_engine_settled(const struct lac_engine *engine, bool modules);

/* May the exit of a task settle a member? If not, exits need not be seen; but then nobody is known to be alive for long. */
bool lac_engine_wants_exits(const struct lac_engine *engine);

/* May looking at the guest now and then (LACUNA_ON_LOOK) settle a member: of modules, or one that is tied or not confirmed yet? */
bool lac_engine_wants_looks(const struct lac_engine *engine);

/*
 * Has all been learned from tasks that is to be learned before anything runs on page tables other than the kernel's own? What the
 * kernel forks until then teaches nothing.
 */
bool lac_engine_waits_for_user_space(const struct lac_engine *engine);

/* Has anything run on page tables other than the kernel's own, at an event, or, at a look, process 1? */
bool lac_engine_user_space(const struct lac_engine *engine);

/* GPA of the page-table root that init_task runs on, the kernel's own; 0: not seen yet. */
u64 lac_engine_root(const struct lac_engine *engine);

u32 lac_engine_members(const struct lac_engine *engine);
void lac_engine_report(const struct lac_engine *engine, u32 member, struct lacuna_member_report *report);

#endif
