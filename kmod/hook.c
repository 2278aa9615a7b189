// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include "hook.h"

#include <linux/atomic.h>
#include <linux/delay.h>
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>

#include "trap.h"

/* Renamed in 6.2. */
#ifndef ftrace_regs_set_instruction_pointer
#define ftrace_regs_set_instruction_pointer ftrace_instruction_pointer_set
#endif

struct hook {
	const char *symbol;
	void *replacement;
	struct ftrace_ops ops;
	unsigned int users;
};

static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs);

/* Permanent: sysctl kernel.ftrace_enabled must not take a hook away under a guest with traps in it. */
#define HOOK_FLAGS (FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY | FTRACE_OPS_FL_PERMANENT)
#define HOOK(name, function) { .symbol = name, .replacement = function, .ops = { .func = redirect, .flags = HOOK_FLAGS } }

static struct hook hooks[LAC_HOOKS] = {
	[LAC_HOOK_VCPU_CREATED] = HOOK("kvm_arch_vcpu_postcreate", lac_vcpu_created),
	[LAC_HOOK_MP_STATE] = HOOK("kvm_arch_vcpu_ioctl_set_mpstate", lac_mp_state_set),
	[LAC_HOOK_VM_DESTROYED] = HOOK("kvm_arch_destroy_vm", lac_vm_destroyed),
	[LAC_HOOK_CPUID] = HOOK("kvm_emulate_cpuid", lac_emulate_cpuid),
	[LAC_HOOK_EVENTS] = HOOK("kvm_apic_accept_events", lac_accept_events),
	[LAC_HOOK_HYPERCALL] = HOOK("kvm_emulate_hypercall", lac_emulate_hypercall),
	[LAC_HOOK_MEMORY] = HOOK("kvm_arch_commit_memory_region", lac_memory_committed),
};

static DEFINE_MUTEX(hooks_lock);
static atomic_t inside = ATOMIC_INIT(0);

/* Calls from our own replacements go through to the original. */
static void notrace redirect(unsigned long ip, unsigned long parent_ip, struct ftrace_ops *ops,
			     struct ftrace_regs *fregs)
{
	struct hook *hook = container_of(ops, struct hook, ops);

	if (within_module(parent_ip, THIS_MODULE))
		return;
	atomic_inc(&inside);
	ftrace_regs_set_instruction_pointer(fregs, (unsigned long)hook->replacement);
}

static int put_in_place(struct hook *hook)
{
	int err;

	err = register_ftrace_function(&hook->ops);
	if (err)
		pr_err("cannot hook %s: error %d (is another tool redirecting it?)\n", hook->symbol, err);
	return err;
}

static void take_away(struct hook *hook)
{
	int err = unregister_ftrace_function(&hook->ops);

	if (err)
		pr_err("cannot unhook %s: error %d\n", hook->symbol, err);
}

/* Once for all: after ftrace_free_filter() an ftrace_ops must not be used again (6.1: it keeps pointers to what was freed). */
int lac_hooks_init(void)
{
	int i, err;

	for (i = 0; i < LAC_HOOKS; i++) {
		err = ftrace_set_filter(&hooks[i].ops, (unsigned char *)hooks[i].symbol, strlen(hooks[i].symbol), 1);
		if (err) {
			pr_err("ftrace cannot find %s: error %d\n", hooks[i].symbol, err);
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
	atomic_dec(&inside);
}

/*
 * The count is taken before the replacement is entered and dropped before it returns, so its last instructions run
 * uncounted. They do not sleep: a task that has gone through a voluntary context switch since then has left them.
 */
void lac_hook_drain(void)
{
	synchronize_rcu_tasks();
	while (atomic_read(&inside))
		msleep(20);
	synchronize_rcu_tasks();
}
