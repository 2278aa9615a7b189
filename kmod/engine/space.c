// SPDX-License-Identifier: GPL-2.0-only
#include "space.h"

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_USER 4ull
#define PTE_LARGE 0x80ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

void lac_space_init(struct lac_space *space, const struct lac_memory *memory, u64 cr3, bool la57)
{
	memset(space, 0, sizeof(*space));
	space->memory = memory;
	space->root = cr3 & LAC_ROOT_MASK;
	space->levels = la57 ? 5 : 4;
}

static int read_physical(struct lac_space *space, u64 gpa, void *buffer, u32 len)
{
	if (space->reads == LAC_MAX_READS) {
		space->exhausted = true;
		return -EBUSY;
	}
	space->reads++;
	return space->memory->read(space->memory->context, gpa, buffer, len);
}

static bool canonical(const struct lac_space *space, u64 va)
{
	int unused = 64 - (12 + 9 * space->levels);

	return (u64)((s64)(va << unused) >> unused) == va;
}

bool lac_is_kernel(const struct lac_space *space, u64 va)
{
	return (s64)va < -4096 && canonical(space, va);
}

/* Intel SDM 3A, 4.5.4 and AMD APM 2, 5.3: rights are the intersection of those of all levels. */
static int walk(struct lac_space *space, u64 va, struct lac_page *page)
{
	u64 table = space->root, entry, mask;
	u8 rights = LAC_WRITE | LAC_EXEC | LAC_USER;
	int level, shift, err;

	for (level = space->levels; level > 0; level--) {
		shift = 12 + 9 * (level - 1);
		err = read_physical(space, table + 8 * ((va >> shift) & 511), &entry, 8);
		if (err)
			return err;
		if (!(entry & PTE_PRESENT))
			return -ENOENT;
		if (!(entry & PTE_WRITE))
			rights &= ~LAC_WRITE;
		if (!(entry & PTE_USER))
			rights &= ~LAC_USER;
		if (entry & PTE_NX)
			rights &= ~LAC_EXEC;
		if (level == 1 || (level <= 3 && entry & PTE_LARGE)) {
			mask = (1ull << shift) - 1;
			page->gpa = (entry & PTE_ADDRESS & ~mask) | (va & mask);
			page->rights = rights;
			page->shift = shift;
			return 0;
		}
		table = entry & PTE_ADDRESS;
	}
	return -ENOENT;
}

int lac_translate(struct lac_space *space, u64 va, struct lac_page *page)
{
	u64 base = va & ~(u64)(LAC_PAGE_SIZE - 1);
	size_t slot = (base / LAC_PAGE_SIZE) % LAC_CACHED_PAGES;
	int err;

	if (!canonical(space, va))
		return -ENOENT;
	if (space->cache[slot].va != (base | 1)) {
		err = walk(space, base, page);
		if (err)
			return err;
		space->cache[slot].va = base | 1;
		space->cache[slot].gpa = page->gpa;
		space->cache[slot].rights = page->rights;
		space->cache[slot].shift = page->shift;
	}
	page->gpa = space->cache[slot].gpa + (va - base);
	page->rights = space->cache[slot].rights;
	page->shift = space->cache[slot].shift;
	return 0;
}

int lac_read(struct lac_space *space, u64 va, void *buffer, u32 len)
{
	struct lac_page page;
	u8 *to = buffer;
	u32 part;
	int err;

	while (len) {
		part = min(len, LAC_PAGE_SIZE - (u32)(va % LAC_PAGE_SIZE));
		err = lac_translate(space, va, &page);
		if (err)
			return err;
		err = read_physical(space, page.gpa, to, part);
		if (err)
			return err;
		va += part;
		to += part;
		len -= part;
	}
	return 0;
}
