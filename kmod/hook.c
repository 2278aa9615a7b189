// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "hook.h"

#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

/* Renamed in 6.2. */
#ifndef ftrace_regs_set_instruction_pointer
#define ftrace_regs_set_instruction_pointer ftrace_instruction_pointer_set
#endif

struct hook {
	struct lac_replacement replacement;
	struct ftrace_ops ops;
	unsigned int users;
};

/* Permanent: sysctl kernel.ftrace_enabled must not take a hook away under a guest with traps in it. */
#define HOOK_FLAGS (FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)

static struct hook hooks[LAC_HOOKS];
static bool for_ever; /* a hook is in place that cannot be taken away any more */
static DEFINE_MUTEX(hooks_lock);
/* Entered less left: each on the CPU where it was done. The guests of a host do not share a cache line for it. */
static DEFINE_PER_CPU(long, inside);

/* Calls from our own replacements go through to the original. */
static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs)
{
	struct hook *hook = container_of(ops, struct hook, ops);

	if (within_module(parent_ip, THIS_MODULE))
		return;
	this_cpu_inc(inside);
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)hook->replacement.function);
}

static int put_in_place(struct hook *hook)
{
	int err;

	lockdep_assert_held(&hooks_lock);
	err = register_ftrace_function(&hook->ops);
	if (err)
		pr_err("cannot hook %s: error %d (is another tool redirecting it?)\n", hook->replacement.symbol, err);
	return err;
}

static void take_away(struct hook *hook)
{
	int err;

	lockdep_assert_held(&hooks_lock);
	err = unregister_ftrace_function(&hook->ops);
	if (!err)
		return;
	pr_err("cannot unhook %s: error %d; the module has to stay\n", hook->replacement.symbol, err);
	for_ever = true;
	__module_get(THIS_MODULE);
}

/*
 * ftrace that has found a fault in itself (ftrace_kill()) leaves all call sites as they are: our code will be called until the
 * host is restarted, and does no harm as long as it is there. A reference to the module keeps it; who is ending already, or
 * has not come to its beginning, gets no further than here.
 */
static void stay_if_hooked(void)
{
	if (!READ_ONCE(for_ever))
		return;
	pr_err("KVM's functions are still redirected: the module stays where it is until the host is restarted\n");
	for (;;)
		schedule_timeout_idle(MAX_SCHEDULE_TIMEOUT);
}

/* Once for all: after ftrace_free_filter() an ftrace_ops must not be used again (6.1: it keeps pointers to what was freed). */
int lac_hooks_init(const struct lac_replacement replacements[LAC_HOOKS])
{
	struct hook *hook;
	const char *symbol;
	int i, err;

	for (i = 0; i < LAC_HOOKS; i++) {
		hook = &hooks[i];
		hook->replacement = replacements[i];
		hook->ops.func = redirect;
		hook->ops.flags = HOOK_FLAGS;
		symbol = hook->replacement.symbol;
		err = ftrace_set_filter(&hook->ops, (unsigned char *)symbol, strlen(symbol), 1);
		if (err) {
			pr_err("ftrace cannot find %s: error %d\n", symbol, err);
			while (i--)
				ftrace_free_filter(&hooks[i].ops);
			return err;
		}
	}
	return 0;
}

void lac_hooks_exit(void)
{
	int i;

	stay_if_hooked();
	for (i = 0; i < LAC_HOOKS; i++)
		ftrace_free_filter(&hooks[i].ops);
}

int lac_hook_get(enum lac_hook index)
{
	struct hook *hook = &hooks[index];
	int err = 0;

	mutex_lock(&hooks_lock);
	if (!hook->users)
		err = put_in_place(hook);
	if (!err)
		hook->users++;
	mutex_unlock(&hooks_lock);
	return err;
}

void lac_hook_put(enum lac_hook index)
{
	struct hook *hook = &hooks[index];

	mutex_lock(&hooks_lock);
	if (!--hook->users)
		take_away(hook);
	mutex_unlock(&hooks_lock);
}

void lac_hook_leave(void)
{
	this_cpu_dec(inside);
}

/* Nobody enters any more while this is asked: the sum may lack somebody who is leaving just now, but nobody who has entered. */
static bool anybody_inside(void)
{
	long sum = 0;
	int cpu;

	for_each_possible_cpu(cpu)
		sum += READ_ONCE(per_cpu(inside, cpu));
	return sum;
}

#define INSIDE_MS 20
#define TOLD_AFTER_MS 5000

/*
 * The count is taken before the replacement is entered and dropped before it returns, so its last instructions run
 * uncounted. They do not sleep: a task that has gone through a voluntary context switch since then has left them.
 */
void lac_hook_drain(void)
{
	unsigned int i;

	lockdep_assert_not_held(&hooks_lock);
	might_sleep();
	stay_if_hooked();
	synchronize_rcu_tasks();
	for (i = 0; anybody_inside(); i++) {
		if (i == TOLD_AFTER_MS / INSIDE_MS)
			pr_warn("a VMM's thread sleeps in KVM below a hook (its stack shows [lacuna]): the module goes when it has returned\n");
		msleep(INSIDE_MS);
	}
	synchronize_rcu_tasks();
}
