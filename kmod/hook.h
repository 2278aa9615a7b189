/* SPDX-License-Identifier: GPL-2.0-only */
/* Redirection of KVM's functions to ours, by ftrace, at run time. */
#ifndef LACUNA_HOOK_H
#define LACUNA_HOOK_H

enum lac_hook {
	LAC_HOOK_VCPU_CREATED,
	LAC_HOOK_MP_STATE, /* the VMM sets whether a vCPU runs, among others when it resets it */
	LAC_HOOK_VM_DESTROYED,
	LAC_HOOK_CPUID,
	LAC_HOOK_EVENTS,
	LAC_HOOK_HYPERCALL,
	LAC_HOOK_MEMORY, /* a memory slot of a virtual machine was changed */
	LAC_HOOKS,
};

struct lac_replacement {
	const char *symbol; /* the function of KVM */
	void *function; /* ours */
};

/* Before the first hook is got, and after the last was put and drained. 0 or a negative errno. */
int lac_hooks_init(const struct lac_replacement replacements[LAC_HOOKS]);
void lac_hooks_exit(void);

/* Counted: a hook is in place while somebody needs it. 0 or a negative errno. */
int lac_hook_get(enum lac_hook hook);
void lac_hook_put(enum lac_hook hook);

/* Every replacement calls this last. */
void lac_hook_leave(void);

/* Returns when no replacement runs any more. All hooks must have been put. */
void lac_hook_drain(void);

#endif
