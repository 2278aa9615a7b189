// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "engine/space.h"

#define IMAGE_STEP SZ_2M

/*
 * Where kernels run, and how far they go from where they were linked to at most: upwards, and by a multiple of 2 MiB, be it for
 * CONFIG_RANDOMIZE_BASE or because they were loaded elsewhere (CONFIG_RELOCATABLE). i386 kernels start from
 * CONFIG_PAGE_OFFSET, 1 GiB at the lowest. KERNEL_IMAGE_SIZE bounds both.
 */
static const struct home {
	u64 start, end;
	u64 slide;
} homes[LACUNA_ARCHITECTURES] = {
	[LACUNA_X86_64] = { 0xffffffff80000000ull, 0xffffffffc0000000ull, SZ_1G },
	[LACUNA_I386] = { 0x40000000ull, 0xff000000ull, SZ_512M },
};

static u8 architecture_of(const struct lac_space *space)
{
	return space->word == 8 ? LACUNA_X86_64 : LACUNA_I386;
}

/* 32-bit firmware may have paging on and may lie anywhere, but it is where it seems to be: kernels never are. */
bool lac_kernel_runs(struct lac_space *space, u64 va)
{
	const struct home *home = &homes[architecture_of(space)];
	struct lac_page page;

	if (va < home->start || va >= home->end)
		return false;
	return space->word == 8 || (!lac_translate(space, va, &page) && page.gpa != va);
}

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
	u8 architecture = architecture_of(space);
	const struct home *home = &homes[architecture];
	struct lac_page page;
	u64 va, delta;
	u32 i;

	for (va = home->start; va < home->end; va += IMAGE_STEP) {
		if (lac_translate(space, va, &page))
			continue;
		for (i = 0; i < kernels_nr; i++) {
			delta = va - ALIGN_DOWN(kernels[i].text, IMAGE_STEP);
			if (kernels[i].architecture != architecture || delta >= home->slide ||
			    !banner_is_at(&kernels[i], space, kernels[i].banner + delta))
				continue;
			*slide = delta;
			return &kernels[i];
		}
	}
	return NULL;
}
