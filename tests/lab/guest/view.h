/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a lab guest tells about itself.
 *
 * Console protocol, one line each (read by scripts/labkit/guest_console.py):
 *   LACUNA-GUEST INIT | KERNEL <release> | NO-MODULES | MODULE <file> <errno> | HIBERNATES | RESUMED | READY
 *                                        NO-MODULES: the kernel knows no modules
 *   LACUNA-TRACED <n> <n> <n> <n>        with LACUNA_TRACED=1: lines in the kernel's trace about forks, their ends, exits, initcalls
 *   LACUNA-PROBED <n>                    with LACUNA_PROBED=<place>: lines in the kernel's trace about it
 *   LACUNA-TEXT <first> <last>           physical addresses of the kernel's code, hexadecimal
 *   LACUNA-VIEW <n> BEGIN
 *   P <pid> <user|kernel> <comm>         one per /proc/<pid>
 *   C <pid> <start> <end>                with LACUNA_CODE=1, behind a user process: where its program's code is, hexadecimal
 *   T <tid> <comm>                       with LACUNA_CODE=1, one per thread of a process that is not its leader
 *   M <name> <address>                   one per line of /proc/modules
 *   LACUNA-VIEW <n> END
 *   LACUNA-DETAIL BEGIN                  once, with LACUNA_DETAIL=1; what is empty or cannot be read is "-"
 *   process <pid> <ppid> <uid> <threads> <start> <arguments> <environment>
 *                                        start in ticks of 10 ms; of texts a bar stands for each end
 *   file <pid> <fd|cwd|root|exe> <where its link leads>
 *   area <pid> <start> <end> <rights> <path>
 *   socket <tcp|tcp6|udp|udp6|unix> <line of /proc/net>
 *   mountinfo <line of /proc/1/mountinfo>
 *   module <name> <size> <state> (<taints>)
 *   LACUNA-DETAIL END
 */
#ifndef LAB_VIEW_H
#define LAB_VIEW_H

#include <stddef.h>

/* Says what failed, and stays: a first program that ends takes the kernel with it. */
void die(const char *what);

/* Read a whole small file of /proc; returns its length, or -1 when the process has gone. */
long read_file(const char *path, char *buffer, size_t size);

void mount_proc(void);

/* The lines INIT and KERNEL. */
void print_start(void);

void print_text_range(void);

/* One view goes out in one write, so that nothing comes between its lines. */
void print_view(int number);

/* All that is to be known of processes, files, memory, sockets and mounts. */
void print_detail(void);

/* Views for ever, one every two seconds. */
void print_views(void);

#endif
