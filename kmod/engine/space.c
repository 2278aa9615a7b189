// SPDX-License-Identifier: GPL-2.0-only
#include "space.h"

#define PTE_PRESENT 1ull
#define PTE_WRITE 2ull
#define PTE_USER 4ull
#define PTE_USED 0x60ull /* accessed, dirty: processors set them in each table that they walk */
#define PTE_LARGE 0x80ull
#define PTE_NX (1ull << 63)
#define PTE_ADDRESS 0x000ffffffffff000ull

/* A way of paging: the tables from the root down, with the lowest address bit that selects an entry of each. */
static const struct scheme {
	u8 entry; /* bytes */
	u8 levels;
	u8 shifts[LAC_MAX_LEVELS];
	u8 bits; /* of an address */
	bool roots_say_nothing; /* an entry of the root has no rights */
	u64 root; /* the bits of CR3 that are its address */
} schemes[LACUNA_PAGINGS] = {
	[LACUNA_PAGING_4LEVEL] = { 8, 4, { 39, 30, 21, 12 }, 48, false, 0x000ffffffffff000ull },
	[LACUNA_PAGING_5LEVEL] = { 8, 5, { 48, 39, 30, 21, 12 }, 57, false, 0x000ffffffffff000ull },
	[LACUNA_PAGING_PAE] = { 8, 3, { 30, 21, 12 }, 32, true, 0xffffffe0ull },
	[LACUNA_PAGING_32BIT] = { 4, 2, { 22, 12 }, 32, false, 0xfffff000ull },
};

/* The lowest CONFIG_PAGE_OFFSET of i386 (VMSPLIT_1G). */
#define I386_KERNEL_START 0x40000000ull

static const struct scheme *scheme_of(const struct lac_space *space)
{
	return &schemes[space->paging];
}

u64 lac_root_of(u64 cr3, u8 paging)
{
	return cr3 & schemes[paging < LACUNA_PAGINGS ? paging : LACUNA_PAGING_4LEVEL].root;
}

void lac_space_init(struct lac_space *space, const struct lac_memory *memory, u64 cr3, u8 paging)
{
	memset(space, 0, sizeof(*space));
	space->memory = memory;
	space->paging = paging < LACUNA_PAGINGS ? paging : LACUNA_PAGING_4LEVEL;
	space->word = scheme_of(space)->bits > 32 ? 8 : 4;
	space->root = lac_root_of(cr3, paging);
	space->kernel_start = space->word == 8 ? 1ull << 63 : I386_KERNEL_START;
}

u32 lac_root_alignment(const struct lac_space *space)
{
	return (u32)(~scheme_of(space)->root & (LAC_PAGE_SIZE - 1)) + 1;
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

/* The part of a table in guest memory that holds the entry at @gpa; NULL if it cannot be read. */
static const u8 *read_line(struct lac_space *space, u64 gpa, u32 level)
{
	struct lac_tables *tables = space->tables;
	u64 line = gpa & ~(u64)(LAC_LINE_SIZE - 1);
	u8 *last = &tables->last[level];
	u32 i;

	if (tables->gpa[*last] == (line | 1))
		return tables->bytes[*last];
	for (i = 0; i < LAC_CACHED_LINES; i++) {
		if (tables->gpa[i] != (line | 1))
			continue;
		*last = (u8)i;
		return tables->bytes[i];
	}
	i = tables->next;
	*last = (u8)i;
	tables->next = (i + 1) % LAC_CACHED_LINES;
	tables->gpa[i] = 0;
	if (read_physical(space, line, tables->bytes[i], LAC_LINE_SIZE))
		return NULL;
	tables->gpa[i] = line | 1;
	return tables->bytes[i];
}

static int read_entry(struct lac_space *space, u64 at, u32 level, u64 *entry)
{
	u8 size = scheme_of(space)->entry;
	const u8 *line;

	*entry = 0;
	if (!space->tables)
		return read_physical(space, at, entry, size);
	line = read_line(space, at, level);
	if (!line)
		return space->exhausted ? -EBUSY : -EFAULT;
	memcpy(entry, line + at % LAC_LINE_SIZE, size); /* little-endian, as all x86 */
	return 0;
}

bool lac_same_from_root(struct lac_space *space, u64 one, u64 other, u64 va)
{
	const struct scheme *scheme = scheme_of(space);
	u64 at = scheme->entry * (va >> scheme->shifts[0] & ((1u << (scheme->bits - scheme->shifts[0])) - 1)), a, b;

	return !read_entry(space, one + at, 0, &a) && !read_entry(space, other + at, 0, &b) && a & PTE_PRESENT &&
	       !((a ^ b) & ~PTE_USED);
}

static bool canonical(const struct lac_space *space, u64 va)
{
	int unused = 64 - scheme_of(space)->bits;

	if (space->word == 4)
		return !(va >> 32);
	return (u64)((s64)(va << unused) >> unused) == va;
}

bool lac_is_kernel(const struct lac_space *space, u64 va)
{
	u64 errors = (space->word == 8 ? 0 : 1ull << 32) - 4096;

	return space->kernel_start <= va && va < errors && canonical(space, va);
}

/* 32-bit paging has 36 to 40 address bits in the entry of a 4 MiB page: PSE-36 (Intel SDM 3A, table 4-4). */
static u64 page_address(const struct scheme *scheme, u64 entry, u32 shift)
{
	u64 address = entry & PTE_ADDRESS & ~((1ull << shift) - 1);

	if (scheme->entry == 4 && shift > 12)
		address |= (entry >> 13 & 0xff) << 32;
	return address;
}

/* Intel SDM 3A, 4.6 and AMD APM 2, 5.6: rights are the intersection of those of all levels. */
static int walk(struct lac_space *space, u64 va, struct lac_page *page)
{
	const struct scheme *scheme = scheme_of(space);
	u8 rights = LAC_WRITE | LAC_EXEC | LAC_USER;
	u64 table = space->root, entry, index;
	u32 level, shift, most;
	int err;

	for (level = 0; level < scheme->levels; level++) {
		shift = scheme->shifts[level];
		most = (level ? scheme->shifts[level - 1] : scheme->bits) - shift;
		index = va >> shift & ((1u << most) - 1);
		err = read_entry(space, table + scheme->entry * index, level, &entry);
		if (err)
			return err;
		if (!(entry & PTE_PRESENT))
			return -ENOENT;
		if (level || !scheme->roots_say_nothing) {
			if (!(entry & PTE_WRITE))
				rights &= ~LAC_WRITE;
			if (!(entry & PTE_USER))
				rights &= ~LAC_USER;
			if (entry & PTE_NX)
				rights &= ~LAC_EXEC;
		}
		if (shift == 12 || (shift <= 30 && entry & PTE_LARGE && (level || !scheme->roots_say_nothing))) {
			page->gpa = page_address(scheme, entry, shift) | (va & ((1ull << shift) - 1));
			page->rights = rights;
			page->shift = shift;
			return 0;
		}
		table = entry & PTE_ADDRESS;
	}
	return -ENOENT;
}

#define LARGE_SIZE (1ull << 21)

static int translate_page(struct lac_space *space, u64 base, struct lac_page *page)
{
	u64 within = base % LARGE_SIZE, large = base - within;
	size_t slot = (base / LARGE_SIZE) % LAC_CACHED_LARGE;
	struct lac_tables *tables = space->tables;
	int err;

	if (tables && tables->large[slot].va == (large | 1)) {
		page->gpa = tables->large[slot].gpa + within;
		page->rights = tables->large[slot].rights;
		page->shift = tables->large[slot].shift;
		return 0;
	}
	err = walk(space, base, page);
	if (tables && !err && page->shift >= 21) {
		tables->large[slot].va = large | 1;
		tables->large[slot].gpa = page->gpa - within;
		tables->large[slot].rights = page->rights;
		tables->large[slot].shift = page->shift;
	}
	return err;
}

int lac_translate(struct lac_space *space, u64 va, struct lac_page *page)
{
	u64 base = va & ~(u64)(LAC_PAGE_SIZE - 1);
	size_t slot = (base / LAC_PAGE_SIZE) % LAC_CACHED_PAGES;
	int err;

	if (!canonical(space, va))
		return -ENOENT;
	if (space->cache[slot].va != (base | 1)) {
		err = translate_page(space, base, page);
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

int lac_read_word(struct lac_space *space, u64 va, u64 *word)
{
	u32 half;
	int err;

	if (space->word == 8)
		return lac_read(space, va, word, sizeof(*word));
	err = lac_read(space, va, &half, sizeof(half));
	if (!err)
		*word = half;
	return err;
}
