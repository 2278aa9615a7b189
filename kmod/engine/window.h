/* SPDX-License-Identifier: GPL-2.0-only */
/* A copy of the bytes around one instance of a structure, taken once per event. */
#ifndef LACUNA_ENGINE_WINDOW_H
#define LACUNA_ENGINE_WINDOW_H

#include "space.h"

#include <lacuna/abi.h>

#define LAC_WINDOW_PAGES (LACUNA_MAX_WINDOW / LAC_PAGE_SIZE + 1)

struct lac_window {
	u64 at; /* GVA of the instance */
	s32 low; /* the first byte held is at @at + @low */
	u32 size;
	bool known[LAC_WINDOW_PAGES]; /* per guest page, from the one that holds the first byte */
	u8 bytes[LACUNA_MAX_WINDOW];
};

/* Reads what is readable; false if nothing is. */
bool lac_window_read(struct lac_window *window, struct lac_space *space, u64 at, s32 low, s32 high);

/* @size bytes at @offset from the instance; NULL if they are outside or could not be read. */
const u8 *lac_bytes(const struct lac_window *window, s32 offset, u32 size);

bool lac_word(const struct lac_window *window, s32 offset, u64 *value);
bool lac_int(const struct lac_window *window, s32 offset, s32 *value);

#endif
