/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * A recording of a boot: the events and what was read of the guest's memory, for replaying the engine without a guest.
 *
 * A sequence of records in the host's byte order: struct lac_record_head, then what its kind says. A page is complete, is
 * kept only when it has changed since it was last kept, and was read while the event before it was looked at. Other vCPUs run
 * on meanwhile: one page may be kept more than once for one event, and each read of the event must see what it saw then.
 */
#ifndef LACUNA_RECORDING_H
#define LACUNA_RECORDING_H

#include <linux/types.h>

#define LAC_RECORDING_MAGIC 0x323063616e7563ull /* "cunac02" */
#define LAC_RECORD_PAGE_SIZE 4096

enum lac_record_kind {
	LAC_RECORD_START, /* struct lac_record_start */
	LAC_RECORD_EVENT, /* struct lac_record_event */
	LAC_RECORD_FORGET, /* u64: a task that is gone */
	LAC_RECORD_PAGE, /* struct lac_record_page; LAC_RECORD_PAGE_SIZE bytes */
};

struct lac_record_head {
	__u32 kind;
	__u32 size; /* of what follows */
};

/* Run-time GVAs; an i386 kernel is one below 4 GiB. */
struct lac_record_start {
	__u64 magic;
	__u64 init_task;
	__u64 modules; /* 0: the kernel has none */
	__u64 text;
	__u64 end;
};

struct lac_record_event {
	__u64 on; /* LACUNA_ON_* */
	__u64 paging; /* enum lacuna_paging */
	__u64 subject;
	__u64 cr3;
};

struct lac_record_page {
	__u64 gpa;
	__u64 read; /* the how manieth read of the event saw this page so first; from 1 */
};

#endif
