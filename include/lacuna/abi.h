/* SPDX-License-Identifier: GPL-2.0-only WITH Linux-syscall-note */
/*
 * What lacuna.ko and its user space share: the generic netlink family and the binary form of a constraint set.
 *
 * Everything here is fixed-size and carries LACUNA_ABI_VERSION: both sides refuse another version. Numbers are in the byte
 * order of the host, addresses are guest virtual (GVA) or guest physical (GPA) as said, times are nanoseconds.
 */
#ifndef LACUNA_ABI_H
#define LACUNA_ABI_H

#include <linux/types.h>

#define LACUNA_ABI_VERSION 8

/*
 * Which engine it was that found something. Raised with each change to the engine, or to the constraints that come with it, by
 * which other offsets may be found: what an older one has found is looked at again, and may be replaced.
 */
#define LACUNA_ENGINE_VERSION 2

#define LACUNA_GENL_NAME "lacuna"
#define LACUNA_GENL_EVENTS "events"

/* What a guest's kernel was built for. Words, and with them longs, pointers and lists, are as wide as it says. */
enum lacuna_architecture {
	LACUNA_X86_64,
	LACUNA_I386,
	LACUNA_ARCHITECTURES,
};

/* How a guest's page tables are read (Intel SDM 3A, 4.1.1). The first two are those of 64-bit kernels. */
enum lacuna_paging {
	LACUNA_PAGING_4LEVEL,
	LACUNA_PAGING_5LEVEL,
	LACUNA_PAGING_PAE,
	LACUNA_PAGING_32BIT,
	LACUNA_PAGINGS,
};

/* ---- constraint sets ------------------------------------------------------------------------------------------------ */

#define LACUNA_MAGIC 0x4c61636eu /* "Lacn" */
#define LACUNA_MAX_STRUCTURES 8
#define LACUNA_MAX_MEMBERS 32
#define LACUNA_MAX_PREDICATES 8
#define LACUNA_NAME_LEN 32
#define LACUNA_TEXT_LEN 16
#define LACUNA_MAX_WINDOW 16384 /* bytes of one structure that the engine looks at */

/* Where the instances of a structure come from. */
enum lacuna_source {
	LACUNA_SOURCE_TASK, /* the current task at a fork, the argument of release_task(); the anchor is init_task */
	LACUNA_SOURCE_POINTER, /* what a resolved pointer member of another structure leads to */
	LACUNA_SOURCE_MODULE, /* the node on the list `modules` of the module that is being initialised */
	LACUNA_SOURCES,
};

enum lacuna_type {
	LACUNA_TYPE_INT, /* 4 bytes */
	LACUNA_TYPE_LONG, /* a word of the guest's kernel */
	LACUNA_TYPE_POINTER, /* a word */
	LACUNA_TYPE_LIST, /* two pointers: next, prev */
	LACUNA_TYPE_TEXT, /* `size` bytes */
	LACUNA_TYPES,
};

/* What must hold of a member's value. constraints/README.md explains each one for people who add a member. */
enum lacuna_predicate_kind {
	LACUNA_ANCHOR_TEXT, /* in the anchor the text starts with `text` */
	LACUNA_ANCHOR_VALUE, /* in the anchor the value is arg[0] */
	LACUNA_RANGE, /* arg[0] <= value <= arg[1], signed */
	LACUNA_TEXT, /* printable, not empty, NUL-terminated */
	LACUNA_TEXT_ECHOED, /* a pointer in the same instance leads to the same text */
	LACUNA_RING, /* a circular list through the anchor; `member` (a text) is fine in every instance on it */
	LACUNA_RING_COUNTS, /* along the ring `member`: 0, 1, 2, then whatever, but no value twice; the same in two places, if it is in any */
	LACUNA_UNIQUE, /* no two live instances have the same value */
	LACUNA_LEADS_TO_ROOT, /* 0, or a pointer to arg[0] bytes that hold a pointer to the page-table root */
	LACUNA_IS_ROOT, /* a pointer to the page-table root in CR3 */
	LACUNA_CODE_START, /* where the process's program headers say its code starts */
	LACUNA_CODE_END, /* where they say it ends */
	LACUNA_TEXT_PART, /* page-aligned, executable, not writable; not the part that holds the init function */
	LACUNA_EXTENT, /* bytes that are executable from what `member` points to on, up to where something else starts */
	LACUNA_NULL_AT_TIMES, /* has been 0 in some instance; until then nothing can be said of the candidate */
	LACUNA_DIFFERS_IN_THREADS, /* no thread of a process on the ring of tasks has the process's value; `member`: mm */
	LACUNA_PREDICATES,
};

/* On which instances a predicate is asked. */
#define LACUNA_ON_FORK 1
#define LACUNA_ON_EXIT 2
#define LACUNA_ON_INITCALL 4
#define LACUNA_ON_LOOK 8 /* no event: the guest is looked at while it runs */
#define LACUNA_ON_ALL 15

#define LACUNA_NO_MEMBER 0xff

struct lacuna_predicate {
	__u8 kind; /* enum lacuna_predicate_kind */
	__u8 on; /* LACUNA_ON_* */
	__u8 witness; /* 1: a candidate that meets it has been seen in action, not merely not refuted */
	__u8 member; /* index of the member referred to, or LACUNA_NO_MEMBER */
	__u8 pad[4];
	__s64 arg[2];
	char text[LACUNA_TEXT_LEN]; /* NUL-terminated */
};

struct lacuna_member {
	char name[LACUNA_NAME_LEN]; /* NUL-terminated */
	__u8 structure; /* index */
	__u8 type; /* enum lacuna_type */
	__u8 size; /* of a text: bytes; 0 of all others: it follows from the type and the guest's architecture */
	__u8 align; /* bytes, a power of two; 0: as the type is aligned in the guest */
	__u8 strikes; /* so many events must speak against a candidate before it is struck */
	__u8 witnesses; /* so many events must have shown the survivor in action before it is resolved */
	__u8 instances; /* … in so many different instances */
	__u8 predicates_nr;
	struct lacuna_predicate predicates[LACUNA_MAX_PREDICATES];
};

struct lacuna_structure {
	char name[LACUNA_NAME_LEN];
	__s32 low; /* the window, relative to the instance: low <= offset < high, multiples of 8 */
	__s32 high;
	__u8 source; /* enum lacuna_source */
	__u8 member; /* LACUNA_SOURCE_POINTER: index of the pointer member */
	__u8 pad[6];
};

struct lacuna_constraints {
	__u32 magic;
	__u16 version;
	__u8 structures_nr;
	__u8 members_nr;
	struct lacuna_structure structures[LACUNA_MAX_STRUCTURES];
	struct lacuna_member members[LACUNA_MAX_MEMBERS];
};

/* ---- what the module tells ------------------------------------------------------------------------------------------ */

enum lacuna_member_state {
	LACUNA_OPEN, /* still being looked for */
	LACUNA_RESOLVED,
	LACUNA_AMBIGUOUS, /* the hunt ended with more than one candidate, or with too little evidence */
	LACUNA_CONTRADICTED, /* no candidate fits what was seen */
	LACUNA_TIED, /* several fit, and had the same value in every instance since they were seen to: either serves until they differ */
	LACUNA_ABSENT, /* of a structure that the kernel does not have */
};

#define LACUNA_LISTED_CANDIDATES 16

/* One per member, in the order of the constraint set. */
struct lacuna_member_report {
	__u8 state; /* enum lacuna_member_state */
	__u8 pad[3];
	__u32 remaining; /* candidates left */
	__u32 eliminated;
	__u32 events; /* events that told something about the member */
	__u32 instances; /* different instances the best candidate was seen in action in, counted up to 32 */
	__u32 witnesses; /* events in which the best candidate was seen in action */
	__s32 candidates[LACUNA_LISTED_CANDIDATES]; /* the first of those left; [0] is the offset when resolved, the one offered when tied */
	__u64 resolved_ns; /* since the first trap */
};

enum lacuna_guest_state {
	LACUNA_GUEST_CREATED, /* nobody has said yet what to do with it */
	LACUNA_GUEST_IGNORED,
	LACUNA_GUEST_WAITING, /* armed, no kernel seen yet */
	LACUNA_GUEST_TRAPPING,
	LACUNA_GUEST_RESTORING, /* the original bytes are being put back */
	LACUNA_GUEST_DONE,
	LACUNA_GUEST_FAILED, /* let go; the reason says why */
	LACUNA_GUEST_GONE,
};

enum lacuna_site_kind {
	LACUNA_SITE_FORK,
	LACUNA_SITE_EXIT,
	LACUNA_SITE_INITCALL,
	/* where the guest is about to copy what the others stand in: nothing is asked, the hunt ends */
	LACUNA_SITE_HIBERNATE, /* to its disk, or memory from there */
	LACUNA_SITE_PROBE, /* code, to where it is executed instead */
	LACUNA_SITE_KINDS,
};

enum lacuna_skip {
	LACUNA_SKIP_BUSY, /* another vCPU was being filtered */
	LACUNA_SKIP_NO_INSTANCE, /* the structure could not be found or read */
	LACUNA_SKIP_BUILTIN, /* an initcall of the kernel itself */
	LACUNA_SKIP_LATE, /* a trap of a site that had just been released */
	LACUNA_SKIPS,
};

struct lacuna_stats {
	__u64 traps[LACUNA_SITE_KINDS];
	__u64 wasted[LACUNA_SITE_KINDS]; /* of these, whose event struck no candidate and saw none at work that was not known */
	__u64 emulated; /* instructions */
	__u64 events_used;
	__u64 looks; /* of these, without a trap */
	__u64 events_skipped[LACUNA_SKIPS];
	__u64 hook_ns_total;
	__u64 hook_ns_max;
	__u64 bytes_read; /* of guest memory */
	__u64 early_exits; /* CPUID exits looked at while waiting for a kernel */
	/* since the guest was created; 0: not yet */
	__u64 armed_ns;
	__u64 found_ns;
	__u64 first_trap_ns;
	__u64 process_done_ns; /* the process sites were released */
	__u64 finished_ns;
};

/* How the kernel says which task runs on a CPU. */
enum lacuna_current {
	LACUNA_CURRENT_PER_CPU, /* the word at the base of GS (i386: FS) plus the value of the symbol, modulo the word */
	LACUNA_CURRENT_GLOBAL, /* the word at the symbol: a kernel for one CPU (no CONFIG_SMP) */
	LACUNA_CURRENT_STACK, /* the first word of the stack, whose size is given (thread_info lies there before 4.9) */
	LACUNA_CURRENTS,
};

/* ---- generic netlink ------------------------------------------------------------------------------------------------ */

/* All commands need CAP_NET_ADMIN; ARM, READ, RECORDING and ADOPT, which reach a guest's memory, CAP_SYS_PTRACE as well. */
enum lacuna_command {
	LACUNA_CMD_UNSPEC,
	LACUNA_CMD_CONSTRAINTS, /* CONSTRAINTS: used by guests armed from now on */
	LACUNA_CMD_ARM, /* GUEST, KERNEL…, DEADLINE_MS, RECORD: hunt when one of the kernels starts */
	LACUNA_CMD_IGNORE, /* GUEST: let it run as it is */
	LACUNA_CMD_DISARM, /* GUEST: put the bytes back and let it go */
	LACUNA_CMD_STATUS, /* GUEST, or a dump of all guests; answers like an event */
	LACUNA_CMD_READ, /* GUEST, ADDRESS (GPA), LENGTH; answers DATA, possibly shorter; a range must not cross a page */
	LACUNA_CMD_RECORDING, /* GUEST, ADDRESS (offset in the recording), LENGTH; answers DATA, empty at the end */
	LACUNA_CMD_EVENT, /* multicast */
	LACUNA_CMD_ADOPT, /* VMM_PID, FD: the virtual machine behind the caller's descriptor runs already; answers like an event */
	LACUNA_CMDS,
};

enum lacuna_event {
	LACUNA_EVENT_NONE, /* in an answer to STATUS */
	LACUNA_EVENT_CREATED,
	LACUNA_EVENT_FOUND, /* the kernel and its slide are known */
	LACUNA_EVENT_PROGRESS,
	LACUNA_EVENT_FINISHED,
	LACUNA_EVENT_FAILED,
	LACUNA_EVENT_RESET, /* the guest was reset: waiting, or, after the end of its hunt, created (ask for orders) */
	LACUNA_EVENT_GONE,
};

#define LACUNA_MAX_READ 4096 /* bytes in one answer to READ */
#define LACUNA_MAX_RECORDING_READ 16384
#define LACUNA_MAX_KERNELS 8 /* in one ARM */
#define LACUNA_MAX_BANNER 512
#define LACUNA_MAX_ID 128
#define LACUNA_SITE_BYTES 16 /* original bytes given per site */
#define LACUNA_TRAP_LEN 3 /* of VMCALL and VMMCALL */

enum lacuna_attribute {
	LACUNA_A_UNSPEC,
	LACUNA_A_PAD,
	LACUNA_A_VERSION, /* u32, LACUNA_ABI_VERSION, in every message of either side */
	LACUNA_A_GUEST, /* u32, the module's own number for a guest */
	LACUNA_A_VMM_PID, /* u32, process of the VMM (in the initial pid namespace) */
	LACUNA_A_EVENT, /* u8, enum lacuna_event */
	LACUNA_A_STATE, /* u8, enum lacuna_guest_state */
	LACUNA_A_REASON, /* string */
	LACUNA_A_CONSTRAINTS, /* struct lacuna_constraints */
	LACUNA_A_KERNEL, /* nested enum lacuna_kernel_attribute, several in ARM */
	LACUNA_A_KERNEL_ID, /* string, of the kernel that was found */
	LACUNA_A_SLIDE, /* u64, run-time minus link-time address */
	LACUNA_A_TEXT_GPA, /* u64, physical address of _text */
	LACUNA_A_PAGING, /* u8, enum lacuna_paging */
	LACUNA_A_ROOT, /* u64, GPA of the kernel's own page-table root; once it is known */
	LACUNA_A_MEMBERS, /* array of struct lacuna_member_report */
	LACUNA_A_STATS, /* struct lacuna_stats */
	LACUNA_A_DEADLINE_MS, /* u32, of trapping */
	LACUNA_A_RECORD, /* flag: keep a recording */
	LACUNA_A_ADDRESS, /* u64 */
	LACUNA_A_LENGTH, /* u32 */
	LACUNA_A_DATA, /* binary */
	LACUNA_A_FD, /* u32 */
	LACUNA_A_ENGINE, /* u32, LACUNA_ENGINE_VERSION of the module */
	LACUNA_ATTRIBUTES,
};

/* A kernel descriptor: what the module must know of one kernel image. Addresses are link-time GVAs. */
enum lacuna_kernel_attribute {
	LACUNA_K_UNSPEC,
	LACUNA_K_PAD,
	LACUNA_K_ID, /* string */
	LACUNA_K_ARCHITECTURE, /* u8, enum lacuna_architecture */
	LACUNA_K_TEXT, /* u64, _text */
	LACUNA_K_END, /* u64, _end */
	LACUNA_K_BANNER, /* u64, linux_banner */
	LACUNA_K_BANNER_TEXT, /* binary, what stands there */
	LACUNA_K_INIT_TASK, /* u64 */
	LACUNA_K_MODULES, /* u64, the list head; 0: the kernel has no modules, and no site LACUNA_SITE_INITCALL */
	LACUNA_K_CURRENT, /* u64, value of the symbol; LACUNA_CURRENT_STACK: bytes of a stack, a power of two */
	LACUNA_K_CURRENT_KIND, /* u8, enum lacuna_current */
	LACUNA_K_CURRENT_SLIDES, /* flag: the symbol's value moves with the kernel (an address, not a small per-CPU offset) */
	LACUNA_K_SITE, /* nested enum lacuna_site_attribute, one per kind; FORK and EXIT at least */
	LACUNA_K_KNOWN, /* flag: nothing is to be learned of it; when it is found the guest is done, and nothing is trapped */
	LACUNA_KERNEL_ATTRIBUTES,
};

enum lacuna_site_attribute {
	LACUNA_S_UNSPEC,
	LACUNA_S_PAD,
	LACUNA_S_KIND, /* u8, enum lacuna_site_kind */
	LACUNA_S_ADDRESS, /* u64 */
	LACUNA_S_BYTES, /* binary, LACUNA_SITE_BYTES at most: the original bytes from ADDRESS on */
	LACUNA_S_LENGTHS, /* binary: the lengths of the displaced instructions, whole, at least LACUNA_TRAP_LEN bytes in all */
	LACUNA_SITE_ATTRIBUTES,
};

#endif
