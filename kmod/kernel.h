/* SPDX-License-Identifier: GPL-2.0-only */
/* A kernel a guest may start, as its descriptor says; and how the running one is recognised. Unit tests build it as it is. */
#ifndef LACUNA_KERNEL_H
#define LACUNA_KERNEL_H

#include "engine/shim.h"

#include <lacuna/abi.h>

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

/* Is the code that is known of a trap site there? 0, -EILSEQ if it is another's, or another negative errno if it cannot be read. */
int lac_kernel_has_site(const struct lac_site_descriptor *descriptor, u64 slide, struct lac_space *space);

/*
 * Which of @kernels is mapped in @space, and how far from where it was linked to? 0: @found; else -ENOENT, none is; -EILSEQ, what has
 * the banner of one, or of several, has none's code; -ENOTUNIQ, several have all that is known of them in common; -EAGAIN, what would
 * decide is not in memory now.
 */
int lac_kernel_find(const struct lac_kernel *kernels, u32 kernels_nr, struct lac_space *space,
		    const struct lac_kernel **found, u64 *slide);

#endif
