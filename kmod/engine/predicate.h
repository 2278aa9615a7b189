/* SPDX-License-Identifier: GPL-2.0-only */
/* The predicates, and what they have in common. */
#ifndef LACUNA_ENGINE_PREDICATE_H
#define LACUNA_ENGINE_PREDICATE_H

#include "internal.h"

static inline enum lac_outcome fits_if(bool fits)
{
	return fits ? LAC_FITS : LAC_REFUTED;
}

/* Printable (UTF-8), not empty, and NUL-terminated within @size bytes? */
bool lac_is_text(const u8 *bytes, u32 size);

/* Can user space reach @va, in the address space of the event? */
bool lac_is_user(struct lac_space *space, u64 va);

/* The two pointers of a list_head at @node; false: it cannot be one. */
bool lac_read_links(struct lac_space *space, u64 node, u64 links[2]);

/* Does @pointer lead to the page-table root in CR3? */
bool lac_points_to_root(struct lac_view *view, u64 pointer);

/* predicate_task.c */
enum lac_outcome lac_text(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset);
enum lac_outcome lac_ring(struct lac_engine *engine, const struct lac_hunt *hunt, const struct lacuna_predicate *p,
			  s32 offset);
enum lac_outcome lac_ring_counts(struct lac_engine *engine, const struct lac_hunt *hunt,
				 const struct lacuna_predicate *p, s32 offset);
enum lac_outcome lac_unique(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset);
enum lac_outcome lac_differs_in_threads(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset);
enum lac_outcome lac_thread_id(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset);
enum lac_outcome lac_leads_to_root(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset);
enum lac_outcome lac_null_at_times(struct lac_engine *engine, struct lac_hunt *hunt, s32 offset);

/* predicate_mm.c */
enum lac_outcome lac_is_root(struct lac_engine *engine, s32 offset);
enum lac_outcome lac_code_bound(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset);

/* predicate_module.c */
enum lac_outcome lac_text_echoed(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset);
enum lac_outcome lac_text_part(struct lac_engine *engine, s32 offset);
enum lac_outcome lac_extent(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset);

#endif
