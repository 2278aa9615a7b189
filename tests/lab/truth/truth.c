// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The true member offsets of the kernel whose headers this is compiled against, with that kernel's own flags.
 * Compiled to assembly only (scripts/labkit/truth.py reads them there), the way the kernel itself makes its asm-offsets.h.
 */
#include <linux/kbuild.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/version.h>

/* What is known as core_text_size, and as module_core, has had three homes. */
#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0)
#define TEXT_BASE mem[MOD_TEXT].base
#define TEXT_SIZE mem[MOD_TEXT].size
#elif LINUX_VERSION_CODE >= KERNEL_VERSION(4, 5, 0)
#define TEXT_BASE core_layout.base
#define TEXT_SIZE core_layout.text_size
#else
#define TEXT_BASE module_core
#define TEXT_SIZE core_text_size
#endif

#define MEMBER(structure, member) DEFINE(structure.member, offsetof(struct structure, member))
/* Of a module, relative to what the kernel's list of modules leads to. */
#define MODULE_MEMBER(name, member) \
	DEFINE(module.name, (long)offsetof(struct module, member) - (long)offsetof(struct module, list))

static void __used members(void)
{
	MEMBER(task_struct, tasks);
	MEMBER(task_struct, pid);
	MEMBER(task_struct, comm);
	MEMBER(task_struct, mm);
	MEMBER(mm_struct, pgd);
	MEMBER(mm_struct, start_code);
	MEMBER(mm_struct, end_code);
#ifdef CONFIG_MODULES /* else the kernel has no such structure */
	MODULE_MEMBER(name, name);
	MODULE_MEMBER(module_core, TEXT_BASE);
	MODULE_MEMBER(core_text_size, TEXT_SIZE);
#endif
}
