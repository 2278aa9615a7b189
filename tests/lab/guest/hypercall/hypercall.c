// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded by a lab guest: makes two hypercalls whose answers are known (Documentation/virt/kvm/x86/hypercalls.rst)
 * and prints them. Lacuna must let them reach KVM.
 */
#include <linux/kvm_para.h>
#include <linux/module.h>

#define UNKNOWN_HYPERCALL 9999

static int __init hypercall_init(void)
{
	long unknown = kvm_hypercall1(UNKNOWN_HYPERCALL, 0);
	long poll = kvm_hypercall0(KVM_HC_VAPIC_POLL_IRQ);

	pr_err("\nLACUNA-HYPERCALL kernel unknown %ld poll %ld\n", unknown, poll);
	return 0;
}

static void __exit hypercall_exit(void)
{
}

module_init(hypercall_init);
module_exit(hypercall_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Hypercalls with known answers, for Lacuna's lab");
