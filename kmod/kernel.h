/* SPDX-License-Identifier: GPL-2.0-only */
/* A kernel a guest may start, as its descriptor says; and how the running one is recognised. */
#ifndef LACUNA_KERNEL_H
#define LACUNA_KERNEL_H

#include <lacuna/abi.h>
#include <linux/types.h>

struct lac_space;

#define LAC_MAX_DISPLACED 3 /* instructions */

struct lac_site_descriptor {
	u64 address; /* link time; 0: the kernel has no such site */
	u8 bytes[LACUNA_SITE_BYTES];
	u8 bytes_nr;
	u8 lengths[LAC_MAX_DISPLACED];
	u8 lengths_nr;
};

/* Addresses are link-time GVAs. */
struct lac_kernel {
	char id[LACUNA_MAX_ID];
	u8 architecture; /* enum lacuna_architecture */
	u64 text, end, banner, init_task;
	u64 modules; /* 0: it has none */
	u64 current_task; /* value of the symbol; LACUNA_CURRENT_STACK: bytes of a stack */
	u8 current_kind; /* enum lacuna_current */
	bool current_slides;
	u16 banner_nr;
	u8 banner_text[LACUNA_MAX_BANNER];
	bool known; /* nothing is to be learned of it */
	struct lac_site_descriptor sites[LACUNA_SITE_KINDS];
};

/* Is @va where kernels run, in the address space @space? No firmware or boot loader is. */
bool lac_kernel_runs(struct lac_space *space, u64 va);

/* Which of @kernels is mapped in @space, and how far from where it was linked to? NULL: none. */
const struct lac_kernel *lac_kernel_find(const struct lac_kernel *kernels, u32 kernels_nr, struct lac_space *space,
					 u64 *slide);

#endif
