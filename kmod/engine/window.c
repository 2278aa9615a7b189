// SPDX-License-Identifier: GPL-2.0-only
#include "window.h"

static u32 page_of(const struct lac_window *window, u32 index)
{
	u64 first = window->at + (s64)window->low;

	return (u32)((first % LAC_PAGE_SIZE + index) / LAC_PAGE_SIZE);
}

/* The part of the window that lies in its page @number. */
static void read_part(struct lac_window *window, u32 number)
{
	u64 first = window->at + (s64)window->low;
	u64 from = number ? first - first % LAC_PAGE_SIZE + (u64)number * LAC_PAGE_SIZE : first;
	u64 to = min(first + window->size, first - first % LAC_PAGE_SIZE + (u64)(number + 1) * LAC_PAGE_SIZE);
	int err = lac_read(window->space, from, window->bytes + (from - first), (u32)(to - from));

	window->pages[number] = !err ? LAC_PAGE_READ : err == -ENOENT ? LAC_PAGE_ABSENT : LAC_PAGE_FAILED;
}

static u8 page_state(struct lac_window *window, u32 index)
{
	u32 number = page_of(window, index);

	if (window->pages[number] == LAC_PAGE_UNREAD)
		read_part(window, number);
	return window->pages[number];
}

bool lac_window_open(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high)
{
	window->space = space;
	window->at = at;
	window->word = space->word;
	window->low = low;
	window->size = (u32)(high - low);
	memset(window->pages, LAC_PAGE_UNREAD, sizeof(window->pages));
	return page_state(window, (u32)-low) == LAC_PAGE_READ;
}

const u8 *lac_bytes(struct lac_window *window, s32 offset, u32 size)
{
	s64 index = (s64)offset - window->low;

	if (index < 0 || index + size > window->size)
		return NULL;
	if (page_state(window, (u32)index) != LAC_PAGE_READ ||
	    page_state(window, (u32)index + size - 1) != LAC_PAGE_READ)
		return NULL;
	return window->bytes + index;
}

bool lac_absent(struct lac_window *window, s32 offset, u32 size)
{
	u32 index = (u32)(offset - window->low);

	return page_state(window, index) == LAC_PAGE_ABSENT || page_state(window, index + size - 1) == LAC_PAGE_ABSENT;
}

bool lac_word(struct lac_window *window, s32 offset, u64 *value)
{
	const u8 *bytes = lac_bytes(window, offset, window->word);
	u32 half;

	if (bytes && window->word == sizeof(half)) {
		memcpy(&half, bytes, sizeof(half));
		*value = half;
	} else if (bytes) {
		memcpy(value, bytes, sizeof(*value));
	}
	return bytes;
}

bool lac_int(struct lac_window *window, s32 offset, s32 *value)
{
	const u8 *bytes = lac_bytes(window, offset, sizeof(*value));

	if (bytes)
		memcpy(value, bytes, sizeof(*value));
	return bytes;
}
