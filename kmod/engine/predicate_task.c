// SPDX-License-Identifier: GPL-2.0-only
/* What can be asked of a task. constraints/README.md says what each predicate rests on. */
#include "predicate.h"

/* A task may call itself what it likes (PR_SET_NAME): of one that is not named in text nothing is said. */
static enum lac_outcome text(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
			     u32 candidate, const u8 *bytes)
{
	if (lac_is_text(bytes, hunt->size))
		return LAC_FITS;
	return memchr(bytes, 0, hunt->size) ? LAC_SILENT : LAC_REFUTED;
}

void lac_text(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	lac_ask_each(engine, hunt, p, engine->view.instance, text, LAC_ASK_ZEROS);
}

static bool is_someone_elses(struct lac_engine *engine, s32 offset, s32 mine, bool counted)
{
	struct lac_view *view = &engine->view;
	s32 other;
	u32 i;

	for (i = 0; i < LAC_LIVE_SLOTS; i++) {
		u64 task = engine->live.slots[i];

		if (!task || task == view->instance->at)
			continue;
		/* of those on the ring ring-counts has said it */
		if (counted && engine->on_ring[i / LAC_BITS] >> i % LAC_BITS & 1)
			continue;
		if (!lac_read(&view->space, task + (s64)offset, &other, sizeof(other)) && other == mine)
			return true;
	}
	return false;
}

void lac_unique(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	bool counted = engine->view.ring_read && engine->view.counted == hunt;
	u32 candidate;
	s32 mine;

	if (hunt->alive > LAC_MAX_COSTLY)
		return;
	lac_for_asked(engine, hunt, candidate) {
		if (!lac_int(engine->view.instance, lac_offset(hunt, candidate), &mine))
			lac_answer(engine, p, candidate, LAC_UNKNOWN);
		else
			lac_answer(engine, p, candidate,
				   fits_if(!is_someone_elses(engine, lac_offset(hunt, candidate), mine, counted)));
	}
}

static bool holds_root(struct lac_engine *engine, u64 from, u32 size)
{
	u32 part, i, word = engine->word;
	u64 to = from + size, pointer;

	for (; from < to; from += part) {
		part = min((u32)(to - from), LAC_PAGE_SIZE - (u32)(from % LAC_PAGE_SIZE));
		if (lac_read(&engine->view.space, from, lac_scratch(engine), part))
			continue;
		for (i = 0; i + word <= part; i += word) {
			pointer = 0;
			memcpy(&pointer, lac_scratch(engine) + i, word); /* little-endian, as all x86 */
			if (lac_points_to_root(engine, pointer))
				return true;
		}
	}
	return false;
}

/* Several members may hold the same pointer. */
static bool leads_to_root(struct lac_engine *engine, u64 pointer, u32 size)
{
	struct lac_view *view = &engine->view;
	u32 i;

	for (i = 0; i < min(view->leads_nr, LAC_LEADS); i++)
		if (view->leads[i].pointer == pointer)
			return view->leads[i].to_root;
	i = view->leads_nr++ % LAC_LEADS;
	view->leads[i].pointer = pointer;
	view->leads[i].to_root = holds_root(engine, pointer, size);
	return view->leads[i].to_root;
}

/*
 * Of a user process. A kernel thread has no address space of its own and runs on the kernel's or on a borrowed one. On the kernel's
 * own nobody runs who has one: what is not 0 is something else, and what is near may well lead to init_mm.
 */
static enum lac_outcome to_root(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
				u32 candidate, const u8 *bytes)
{
	u64 pointer = lac_load_word(engine, bytes);

	if (!pointer)
		return LAC_SILENT;
	return fits_if((engine->view.any_root || engine->view.space.root != engine->kernel_root) && !(pointer % engine->word) &&
		       lac_is_kernel(&engine->view.space, pointer) &&
		       leads_to_root(engine, pointer, (u32)p->arg[0]));
}

void lac_leads_to_root(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	engine->view.leads_nr = 0;
	lac_ask_each(engine, hunt, p, engine->view.instance, to_root, LAC_SILENT);
}

/* Of those that have been 0 nothing is asked any more. */
void lac_null_at_times(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct lac_answers *answers = &engine->answers;
	u64 left, bit, pointer;
	u32 word, candidate;

	for (word = hunt->from; word < hunt->to; word++) {
		for (left = hunt->living[word] & ~answers->refuted[word] & ~hunt->nulls[word]; left; left &= left - 1) {
			bit = left & -left;
			candidate = word * LAC_BITS + (u32)__builtin_ctzll(left);
			if (!lac_word(engine->view.instance, lac_offset(hunt, candidate), &pointer) || pointer) {
				answers->unknown[word] |= bit;
				continue;
			}
			hunt->nulls[word] |= bit;
			answers->news = true;
		}
	}
}
