// SPDX-License-Identifier: GPL-2.0-only
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/module.h>

#include "guest.h"
#include "hook.h"
#include "kvm.h"
#include "netlink.h"
#include "registry.h"
#include "replacement.h"

/*
 * Whether there are virtual machines or not, three hooks are in place: that a virtual machine is made, reset, and taken
 * down. Those on the paths of running guests come with the first guest that is hunted and go with the last.
 */
static int __init lacuna_init(void)
{
	int err;

	err = lac_kvm_init();
	if (err)
		return err;
	err = lac_hooks_init(lac_replacements);
	if (err)
		return err;
	err = lac_registry_init();
	if (err)
		goto no_registry;
	err = lac_netlink_init();
	if (err)
		goto no_netlink;
	lac_guest_tell_by(lac_netlink_notify);
	err = lac_hook_get(LAC_HOOK_VCPU_CREATED);
	if (err)
		goto no_hook;
	err = lac_hook_get(LAC_HOOK_MP_STATE);
	if (err)
		goto no_second_hook;
	return 0;

no_second_hook:
	lac_hook_put(LAC_HOOK_VCPU_CREATED);
no_hook:
	lac_guest_tell_by(NULL);
	lac_netlink_exit();
no_netlink:
	lac_registry_exit();
no_registry:
	lac_hooks_exit();
	return err;
}

static void __exit lacuna_exit(void)
{
	lac_hook_put(LAC_HOOK_MP_STATE);
	lac_hook_put(LAC_HOOK_VCPU_CREATED);
	lac_guest_tell_by(NULL);
	lac_netlink_exit();
	lac_registry_exit();
	lac_hooks_exit();
}

module_init(lacuna_init);
module_exit(lacuna_exit);

MODULE_AUTHOR("The Lacuna developers");
MODULE_DESCRIPTION("Learns from a KVM guest's boot where its kernel keeps what");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1");
