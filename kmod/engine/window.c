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

void lac_window_set(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high)
{
	window->space = space;
	window->at = at;
	window->word = space->word;
	window->low = low;
	window->size = min((u32)(high - low), window->capacity);
	window->from = 0;
	window->to = 0;
	memset(window->pages, LAC_PAGE_UNREAD, sizeof(window->pages));
}

bool lac_window_open(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high)
{
	lac_window_set(window, space, at, low, high);
	return page_state(window, (u32)-low) == LAC_PAGE_READ;
}

/* That part of the window's page @number is read, and lies next to what is known to be. */
static void extend(struct lac_window *window, u32 number)
{
	u64 first = window->at + (s64)window->low;
	u32 skipped = (u32)(first % LAC_PAGE_SIZE);
	u32 from = number ? number * LAC_PAGE_SIZE - skipped : 0;
	u32 to = min((number + 1) * LAC_PAGE_SIZE - skipped, window->size);

	if (window->from == window->to) {
		window->from = from;
		window->to = to;
	} else if (from == window->to) {
		window->to = to;
	} else if (to == window->from) {
		window->from = from;
	}
}

static bool lies_within(const struct lac_window *window, s64 index, u32 size)
{
	return index >= 0 && index + size <= window->size;
}

const u8 *lac_bytes_asked_first(struct lac_window *window, s32 offset, u32 size)
{
	s64 index = (s64)offset - window->low;

	if (!lies_within(window, index, size))
		return NULL;
	if (page_state(window, (u32)index) != LAC_PAGE_READ ||
	    page_state(window, (u32)index + size - 1) != LAC_PAGE_READ)
		return NULL;
	extend(window, page_of(window, (u32)index));
	extend(window, page_of(window, (u32)index + size - 1));
	return window->bytes + index;
}

bool lac_absent(struct lac_window *window, s32 offset, u32 size)
{
	s64 index = (s64)offset - window->low;

	if (!lies_within(window, index, size))
		return false;
	return page_state(window, (u32)index) == LAC_PAGE_ABSENT ||
	       page_state(window, (u32)index + size - 1) == LAC_PAGE_ABSENT;
}
