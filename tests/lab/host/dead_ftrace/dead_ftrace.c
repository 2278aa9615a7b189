// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded by the lab host: ftrace ends for good, as it does when it finds call sites that are not what it made of them
 * (ftrace_bug()). From then on it puts no hook in place and takes none away.
 */
#include <linux/kprobes.h>
#include <linux/module.h>

/* ftrace_kill() is not exported: its address is that of a probe that is never armed. */
static int __init dead_ftrace_init(void)
{
	struct kprobe probe = { .symbol_name = "ftrace_kill", .flags = KPROBE_FLAG_DISABLED };
	void (*kill)(void);
	int err = register_kprobe(&probe);

	if (err)
		return err;
	kill = (void (*)(void))probe.addr;
	unregister_kprobe(&probe);
	kill();
	return 0;
}

module_init(dead_ftrace_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Kills ftrace, for Lacuna's lab");
