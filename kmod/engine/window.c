// SPDX-License-Identifier: GPL-2.0-only
#include "window.h"

static u32 page_of(const struct lac_window *window, u32 index)
{
	u64 first = window->at + (s64)window->low;

	return (u32)((first % LAC_PAGE_SIZE + index) / LAC_PAGE_SIZE);
}

bool lac_window_read(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high)
{
	u32 index, part;
	bool any = false;
	u8 *page;
	u64 va;
	int err;

	window->at = at;
	window->word = space->word;
	window->low = low;
	window->size = (u32)(high - low);
	for (index = 0; index < window->size; index += part) {
		va = at + (s64)low + index;
		part = min(window->size - index, LAC_PAGE_SIZE - (u32)(va % LAC_PAGE_SIZE));
		page = &window->pages[page_of(window, index)];
		err = lac_read(space, va, window->bytes + index, part);
		*page = !err ? LAC_PAGE_READ : err == -ENOENT ? LAC_PAGE_ABSENT : LAC_PAGE_FAILED;
		any |= !err;
	}
	return any;
}

const u8 *lac_bytes(const struct lac_window *window, s32 offset, u32 size)
{
	s64 index = (s64)offset - window->low;

	if (index < 0 || index + size > window->size)
		return NULL;
	if (window->pages[page_of(window, (u32)index)] != LAC_PAGE_READ ||
	    window->pages[page_of(window, (u32)index + size - 1)] != LAC_PAGE_READ)
		return NULL;
	return window->bytes + index;
}

bool lac_absent(const struct lac_window *window, s32 offset, u32 size)
{
	u32 index = (u32)(offset - window->low);

	return window->pages[page_of(window, index)] == LAC_PAGE_ABSENT ||
	       window->pages[page_of(window, index + size - 1)] == LAC_PAGE_ABSENT;
}

bool lac_word(const struct lac_window *window, s32 offset, u64 *value)
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

bool lac_int(const struct lac_window *window, s32 offset, s32 *value)
{
	const u8 *bytes = lac_bytes(window, offset, sizeof(*value));

	if (bytes)
		memcpy(value, bytes, sizeof(*value));
	return bytes;
}
