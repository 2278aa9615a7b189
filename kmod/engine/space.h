/* SPDX-License-Identifier: GPL-2.0-only */
/* A guest's virtual address space, read through its own page tables. */
#ifndef LACUNA_ENGINE_SPACE_H
#define LACUNA_ENGINE_SPACE_H

#include "shim.h"

#include <lacuna/abi.h>

#define LAC_PAGE_SIZE 4096u

/* Guest physical memory: reads @len bytes at @gpa, which lie in one page; 0, or a negative errno. */
struct lac_memory {
	int (*read)(void *context, u64 gpa, void *buffer, u32 len);
	void *context;
};

#define LAC_WRITE 1
#define LAC_EXEC 2
#define LAC_USER 4

struct lac_page {
	u64 gpa; /* of the address asked for */
	u8 rights; /* LAC_* */
	u8 shift; /* log2 of the size of the mapping */
};

#define LAC_CACHED_PAGES 64
#define LAC_CACHED_LARGE 32

/* Parts of page tables as they were when an event first needed them: neighbouring addresses have neighbouring entries. */
#define LAC_MAX_LEVELS 5
#define LAC_CACHED_LINES 16
#define LAC_LINE_SIZE 256u
struct lac_tables {
	u64 gpa[LAC_CACHED_LINES]; /* with bit 0 set when it is in use */
	u32 next; /* to be replaced */
	u8 last[LAC_MAX_LEVELS]; /* for each level of the tables, which was used last */
	u8 bytes[LAC_CACHED_LINES][LAC_LINE_SIZE];
	struct {
		u64 va; /* 2 MiB, with bit 0 set when the entry is in use */
		u64 gpa;
		u8 rights;
		u8 shift;
	} large[LAC_CACHED_LARGE]; /* what lies in larger pages than the smallest */
};
#define LAC_MAX_READS 16384 /* per event: whatever a guest puts into its lists, it is held up for no longer */

/* Valid for one event: nothing is remembered while the guest runs on. */
struct lac_space {
	const struct lac_memory *memory;
	u8 paging; /* enum lacuna_paging */
	u8 word; /* bytes of a pointer: 8 or 4 */
	u64 root;
	u64 kernel_start; /* no address below is the kernel's */
	u32 reads; /* of guest memory so far */
	bool exhausted; /* LAC_MAX_READS was not enough: what was concluded from failed reads is worth nothing */
	struct {
		u64 va; /* page, with bit 0 set when the entry is in use */
		u64 gpa;
		u8 rights;
		u8 shift;
	} cache[LAC_CACHED_PAGES];
	struct lac_tables *tables; /* NULL: page tables are read entry by entry */
};

/* GPA of the page-table root that CR3 names under @paging; its other bits are no address. */
u64 lac_root_of(u64 cr3, u8 paging);

void lac_space_init(struct lac_space *space, const struct lac_memory *memory, u64 cr3, u8 paging);

/* The word at @va. As lac_read(). */
int lac_read_word(struct lac_space *space, u64 va, u64 *word);

/* What page-table roots are aligned to, and pointers to them. */
u32 lac_root_alignment(const struct lac_space *space);

/* Do two page-table roots lead to the same tables for @va? */
bool lac_same_from_root(struct lac_space *space, u64 one, u64 other, u64 va);

/* 0, -ENOENT where nothing is mapped, or the error of the memory. */
int lac_translate(struct lac_space *space, u64 va, struct lac_page *page);

/* Reads all of @len bytes at @va, or fails. */
int lac_read(struct lac_space *space, u64 va, void *buffer, u32 len);

/* Could be an address of the kernel's, and is not one of the error numbers kernels keep in pointers. */
bool lac_is_kernel(const struct lac_space *space, u64 va);

#endif
