/* SPDX-License-Identifier: GPL-2.0-only */
/* The bytes around one instance of a structure; each page of them is read once, when it is first asked for. */
#ifndef LACUNA_ENGINE_WINDOW_H
#define LACUNA_ENGINE_WINDOW_H

#include "space.h"

#include <lacuna/abi.h>

#define LAC_WINDOW_PAGES (LACUNA_MAX_WINDOW / LAC_PAGE_SIZE + 1)

enum lac_window_page {
	LAC_PAGE_UNREAD, /* nobody has asked yet */
	LAC_PAGE_FAILED, /* could not be read: nothing is known */
	LAC_PAGE_ABSENT, /* the guest has nothing mapped there */
	LAC_PAGE_READ,
};

struct lac_window {
	struct lac_space *space;
	u64 at; /* GVA of the instance */
	u8 word; /* bytes */
	s32 low; /* the first byte held is at @at + @low */
	u32 size;
	u32 capacity; /* of @bytes; it and they are set once and for all */
	u32 from, to; /* of @bytes, what is known to have been read: so many words are asked for one after the other */
	u8 pages[LAC_WINDOW_PAGES]; /* enum lac_window_page, per guest page from the one that holds the first byte */
	u8 *bytes;
};

/* On the instance at @at, of which nothing is read yet. @space must stay; what is more than the capacity lies outside. */
void lac_window_set(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high);

/* The same; false if its first byte cannot be read. */
bool lac_window_open(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high);

/*
 * Do some of @size bytes at @offset lie where the guest has nothing mapped? Kernels do not page out their own structures: no
 * member of this instance is there.
 */
bool lac_absent(struct lac_window *window, s32 offset, u32 size);

const u8 *lac_bytes_asked_first(struct lac_window *window, s32 offset, u32 size);

/* @size bytes at @offset from the instance; NULL if they are outside or could not be read. */
static inline const u8 *lac_bytes(struct lac_window *window, s32 offset, u32 size)
{
	s64 index = (s64)offset - window->low;

	if (index >= window->from && index + size <= window->to)
		return window->bytes + index;
	return lac_bytes_asked_first(window, offset, size);
}

/* A word of the guest's, and an int. */
static inline bool lac_word(struct lac_window *window, s32 offset, u64 *value)
{
	const u8 *bytes = lac_bytes(window, offset, window->word);
	u32 half;

	if (bytes && window->word == sizeof(half)) {
		memcpy(&half, bytes, sizeof(half)); /* little-endian, as all x86 */
		*value = half;
	} else if (bytes) {
		memcpy(value, bytes, sizeof(*value));
	}
	return bytes;
}

static inline bool lac_int(struct lac_window *window, s32 offset, s32 *value)
{
	const u8 *bytes = lac_bytes(window, offset, sizeof(*value));

	if (bytes)
		memcpy(value, bytes, sizeof(*value));
	return bytes;
}

#endif
