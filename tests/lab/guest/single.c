// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The only program of a guest, as in a microVM that was made for it: it never starts a process or a thread, and loads no
 * module.
 */
#include <stdio.h>
#include <sys/klog.h>

#include "view.h"

#define CONSOLE_LEVEL 8 /* syslog(2), SYSLOG_ACTION_CONSOLE_LEVEL */

int main(void)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    mount_proc();
    print_start();
    klogctl(CONSOLE_LEVEL, NULL, 1); /* only emergencies may come between the views */
    puts("LACUNA-GUEST READY");
    print_views();
}
