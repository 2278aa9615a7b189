// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does to the process that loads it what rootkits do: gives it the credentials of another one, its parent, and not a copy of them.
 */
#include <linux/cred.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>

static int __init shared_creds_init(void)
{
	const struct cred *other;

	rcu_read_lock();
	other = get_cred(rcu_dereference(rcu_dereference(current->real_parent)->real_cred));
	rcu_read_unlock();
	return commit_creds((struct cred *)other);
}

static void __exit shared_creds_exit(void)
{
}

module_init(shared_creds_init);
module_exit(shared_creds_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Credentials that two processes share, for Lacuna's lab");
