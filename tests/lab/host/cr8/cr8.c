// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded by the lab host for guests that UEFI firmware boots: makes KVM go on intercepting their writes to CR8.
 *
 * OVMF writes CR8 at the end of each interrupt. KVM intercepts that from the start (init_vmcb()) and lets the guest do it
 * by itself as soon as no interrupt is held back by the task priority, which svm_update_cr8_intercept() looks after.
 * The emulated processor aborts at such a write, if KVM waits at that moment for the guest to take interrupts (QEMU 6.2
 * to 11.1: helper_write_crN() raises V_IRQ without the lock for that). Without that function, each write is an exit,
 * which any hypervisor may have and which KVM handles as on processors that can do no better.
 */
#include <linux/kprobes.h>
#include <linux/linkage.h>
#include <linux/module.h>

void cr8_return(void);

asm(".pushsection .text\n"
    ".type cr8_return, @function\n"
    "cr8_return:\n"
    ASM_RET
    ".size cr8_return, .-cr8_return\n"
    ".popsection\n");

/* At the function's first instruction, where the return address is on top of the stack. */
static int cr8_skip(struct kprobe *probe, struct pt_regs *regs)
{
	regs->ip = (unsigned long)cr8_return;
	return 1;
}

static struct kprobe cr8_probe = {
	.symbol_name = "svm_update_cr8_intercept",
	.pre_handler = cr8_skip,
};

static int __init cr8_init(void)
{
	return register_kprobe(&cr8_probe);
}

static void __exit cr8_exit(void)
{
	unregister_kprobe(&cr8_probe);
}

module_init(cr8_init);
module_exit(cr8_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Keeps KVM's intercept of CR8, for Lacuna's lab");
