// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The true offsets of members that are asked for by name: list.h, which scripts/labkit/truth.py writes, has a line MEMBER(structure, member)
 * for each. Where a kernel does not have one the compiler says so, once for each line.
 */
#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fdtable.h>
#include <linux/fs.h>
#include <linux/fs_struct.h>
#include <linux/kbuild.h>
#include <linux/kobject.h>
#include <linux/mm_types.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/net.h>
#include <linux/netdevice.h>
#include <linux/nsproxy.h>
#include <linux/sched.h>
#include <linux/sched/signal.h>
#include <net/af_unix.h>
#include <net/inet_sock.h>
#include <net/net_namespace.h>
#include <net/sock.h>

/* Not in the packages of headers, only with the source. */
#if __has_include("fs/mount.h")
#include "fs/mount.h"
#endif
#if __has_include("kernel/module/internal.h")
#include "kernel/module/internal.h"
#endif
#if __has_include("kernel/kthread.c")
#include "kernel/kthread.c"
#endif

#define MEMBER(structure, member) DEFINE(structure.member, offsetof(struct structure, member));

static void __used members(void)
{
#include "list.h"
}
