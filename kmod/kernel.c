// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "engine/space.h"

/* x86-64 kernels run in this range, at a multiple of 2 MiB from where they were linked to (CONFIG_RANDOMIZE_BASE). */
#define IMAGE_START 0xffffffff80000000ull
#define IMAGE_SIZE SZ_1G
#define IMAGE_STEP SZ_2M

static bool banner_is_at(const struct lac_kernel *kernel, struct lac_space *space, u64 va)
{
	u8 bytes[64];
	u32 done, part;

	for (done = 0; done < kernel->banner_nr; done += part) {
		part = min_t(u32, sizeof(bytes), kernel->banner_nr - done);
		if (lac_read(space, va + done, bytes, part) || memcmp(bytes, kernel->banner_text + done, part))
			return false;
	}
	return true;
}

const struct lac_kernel *lac_kernel_find(const struct lac_kernel *kernels, u32 kernels_nr, struct lac_space *space,
					 u64 *slide)
{
	struct lac_page page;
	u64 va, delta;
	u32 i;

	for (va = IMAGE_START; va - IMAGE_START < IMAGE_SIZE; va += IMAGE_STEP) {
		if (lac_translate(space, va, &page))
			continue;
		for (i = 0; i < kernels_nr; i++) {
			delta = va - ALIGN_DOWN(kernels[i].text, IMAGE_STEP);
			if (!banner_is_at(&kernels[i], space, kernels[i].banner + delta))
				continue;
			*slide = delta;
			return &kernels[i];
		}
	}
	return NULL;
}
