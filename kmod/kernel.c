// SPDX-License-Identifier: GPL-2.0-only
#include "kernel.h"

#include "engine/space.h"

#define MIB (1024ull * 1024)
#define IMAGE_STEP (2 * MIB)

/*
 * Where kernels run, and how far they go from where they were linked to at most: upwards, and by a multiple of 2 MiB, be it for
 * CONFIG_RANDOMIZE_BASE or because they were loaded elsewhere (CONFIG_RELOCATABLE). i386 kernels start from
 * CONFIG_PAGE_OFFSET, 1 GiB at the lowest. KERNEL_IMAGE_SIZE bounds both.
 */
static const struct home {
	u64 start, end;
	u64 slide;
} homes[LACUNA_ARCHITECTURES] = {
	[LACUNA_X86_64] = { 0xffffffff80000000ull, 0xffffffffc0000000ull, 1024 * MIB },
	[LACUNA_I386] = { 0x40000000ull, 0xff000000ull, 512 * MIB },
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
		part = min((u32)sizeof(bytes), kernel->banner_nr - done);
		if (lac_read(space, va + done, bytes, part) || memcmp(bytes, kernel->banner_text + done, part))
			return false;
	}
	return true;
}

int lac_kernel_has_site(const struct lac_site_descriptor *descriptor, u64 slide, struct lac_space *space)
{
	u8 bytes[LACUNA_SITE_BYTES];
	int err = lac_read(space, descriptor->address + slide, bytes, descriptor->bytes_nr);

	if (err)
		return err;
	return memcmp(bytes, descriptor->bytes, descriptor->bytes_nr) ? -EILSEQ : 0;
}

/*
 * A banner may be that of another build: reproducible ones fix the time in it, and CONFIG_RANDSTRUCT makes other code of the same. What
 * cannot be read is not there, but for what may come (-EAGAIN).
 */
static int has_code(const struct lac_kernel *kernel, u64 slide, struct lac_space *space)
{
	u32 i;
	int err;

	for (i = 0; i < LACUNA_SITE_KINDS; i++) {
		if (!kernel->sites[i].address)
			continue;
		err = lac_kernel_has_site(&kernel->sites[i], slide, space);
		if (err)
			return err == -EAGAIN ? err : -EILSEQ;
	}
	return 0;
}

/* What is found where the kernel starts at @va, among those of @kernels that have their banner there. */
static int find_at(const struct lac_kernel *kernels, u32 kernels_nr, struct lac_space *space, u64 va,
		   const struct lac_kernel **found, u64 *slide)
{
	u8 architecture = architecture_of(space);
	int result = -ENOENT, err;
	u64 delta;
	u32 i;

	for (i = 0; i < kernels_nr; i++) {
		delta = va - kernels[i].text / IMAGE_STEP * IMAGE_STEP;
		if (kernels[i].architecture != architecture || delta >= homes[architecture].slide ||
		    !banner_is_at(&kernels[i], space, kernels[i].banner + delta))
			continue;
		err = has_code(&kernels[i], delta, space);
		if (err == -EAGAIN)
			return err;
		if (!err && !result && strcmp((*found)->id, kernels[i].id))
			return -ENOTUNIQ;
		if (result == 0 || (err && result != -ENOENT))
			continue;
		*found = &kernels[i];
		*slide = delta;
		result = err;
	}
	return result;
}

/* The first place at which all fits; else, whether a banner was found anywhere. */
int lac_kernel_find(const struct lac_kernel *kernels, u32 kernels_nr, struct lac_space *space,
		    const struct lac_kernel **found, u64 *slide)
{
	const struct home *home = &homes[architecture_of(space)];
	struct lac_page page;
	int result = -ENOENT, err;
	u64 va;

	*found = NULL;
	for (va = home->start; va < home->end; va += IMAGE_STEP) {
		if (lac_translate(space, va, &page))
			continue;
		err = find_at(kernels, kernels_nr, space, va, found, slide);
		if (err != -ENOENT && err != -EILSEQ)
			return err;
		if (err == -EILSEQ)
			result = err;
	}
	return result;
}
