/* SPDX-License-Identifier: GPL-2.0-only */
/* Keeps a recording (<lacuna/recording.h>) of one guest's boot in memory. Used under the guest's engine_lock. */
#ifndef LACUNA_KMOD_RECORDING_H
#define LACUNA_KMOD_RECORDING_H

#include <lacuna/recording.h>

struct lac_recording;

struct lac_recording *lac_recording_create(void);
void lac_recording_destroy(struct lac_recording *recording);

/* What does not fit any more is left out, and the recording ends there. @recording may be NULL. */
void lac_recording_add(struct lac_recording *recording, u32 kind, const void *data, u32 size);

/* Where to put a page, and: keep what was put there. */
u8 *lac_recording_page(struct lac_recording *recording);
void lac_recording_keep_page(struct lac_recording *recording, u64 gpa);

/* Copies up to @size bytes from @offset on: how many, 0 at the end. */
u32 lac_recording_copy(const struct lac_recording *recording, u64 offset, void *to, u32 size);

#endif
