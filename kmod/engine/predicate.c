// SPDX-License-Identifier: GPL-2.0-only
/* The predicates: what a constraint set can ask of a candidate, and what they have in common. */
#include "predicate.h"

/* How many bytes follow the first of a character in UTF-8 (RFC 3629); 4: it is no first byte of one. */
static u32 following(u8 first)
{
	if (first < 0x80)
		return first < 0x20 || first == 0x7f ? 4 : 0;
	return first < 0xc2 ? 4 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : first < 0xf5 ? 3 : 4;
}

/* The kernel cuts names to their size wherever that is: the last character may be a part of one. */
bool lac_is_text(const u8 *bytes, u32 size)
{
	u32 i, more = 0;

	for (i = 0; i < size && bytes[i]; i++) {
		if (more && (bytes[i] & 0xc0) != 0x80)
			return false;
		more = more ? more - 1 : following(bytes[i]);
		if (more == 4)
			return false;
	}
	return i > 0 && i < size;
}

bool lac_read_links(struct lac_space *space, u64 node, u64 links[2])
{
	return !(node % space->word) && lac_is_kernel(space, node) && !lac_read_word(space, node, &links[0]) &&
	       !lac_read_word(space, node + space->word, &links[1]);
}

bool lac_is_user(struct lac_space *space, u64 va)
{
	struct lac_page page;

	return va >= LAC_PAGE_SIZE && !lac_translate(space, va, &page) && page.rights & LAC_USER;
}

/*
 * The kernel's linear map, which roots are pointed to in, starts at a multiple of 1 GiB (KASLR moves it by whole entries of the
 * third level), that of i386 at one of CONFIG_PAGE_OFFSET's values, all multiples of 128 MiB. So a pointer into it and the
 * address it translates to differ by such a multiple, and most pointers need not be translated to be ruled out.
 */
#define LINEAR_MAP_ALIGNMENT (1ull << 27)

/*
 * The root of any process has the kernel's half of the kernel's own (pgd_ctor(), arch/x86/mm/pgtable.c): the entries for its text
 * and for where the pointer itself leads are the same in both.
 */
static bool points_to_a_root(struct lac_engine *engine, u64 pointer)
{
	struct lac_space *space = &engine->view.space;
	const struct lac_event *event = engine->view.event;
	/* in a guest that ran before the kernel's own has not been seen; the one in use is a process's then, and serves as well */
	u64 known = engine->kernel_root ? engine->kernel_root : lac_root_of(event->cr3, event->paging);
	struct lac_page page;

	return !(pointer % lac_root_alignment(space)) && lac_is_kernel(space, pointer) && !lac_translate(space, pointer, &page) &&
	       page.gpa != engine->kernel_root && lac_same_from_root(space, page.gpa, known, engine->facts.text) &&
	       lac_same_from_root(space, page.gpa, known, pointer);
}

bool lac_points_to_root(struct lac_engine *engine, u64 pointer)
{
	struct lac_view *view = &engine->view;
	struct lac_page page;

	if (view->any_root)
		return points_to_a_root(engine, pointer);
	return !((pointer ^ view->space.root) % LINEAR_MAP_ALIGNMENT) && lac_is_kernel(&view->space, pointer) &&
	       !lac_translate(&view->space, pointer, &page) && page.gpa == view->space.root;
}

bool lac_value(struct lac_window *window, u8 type, s32 offset, u64 *value)
{
	s32 number;

	if (type != LACUNA_TYPE_INT)
		return lac_word(window, offset, value);
	if (!lac_int(window, offset, &number))
		return false;
	*value = (u64)(s64)number;
	return true;
}

void lac_answer(struct lac_engine *engine, const struct lacuna_predicate *p, u32 candidate, enum lac_outcome outcome)
{
	lac_note(engine, candidate / LAC_BITS, 1ull << candidate % LAC_BITS, outcome, p->witness);
}

u32 lac_next_asked(const struct lac_engine *engine, const struct lac_hunt *hunt, u32 from)
{
	u32 word = max(from / LAC_BITS, hunt->from);
	u64 left;

	for (; word < hunt->to; word++) {
		left = hunt->living[word] & ~engine->answers.refuted[word];
		if (word == from / LAC_BITS)
			left &= ~0ull << from % LAC_BITS;
		if (left)
			return word * LAC_BITS + (u32)__builtin_ctzll(left);
	}
	return hunt->number;
}

u32 lac_asked(const struct lac_engine *engine, const struct lac_hunt *hunt)
{
	u32 word, number = 0;

	for (word = hunt->from; word < hunt->to; word++)
		number += lac_weight(hunt->living[word] & ~engine->answers.refuted[word]);
	return number;
}

static enum lac_outcome anchor_text(struct lac_engine *engine, struct lac_hunt *hunt,
				    const struct lacuna_predicate *p, u32 candidate, const u8 *bytes)
{
	if (bytes[0] != (u8)p->text[0]) /* nearly all */
		return LAC_REFUTED;
	return fits_if(lac_is_text(bytes, hunt->size) && !memcmp(bytes, p->text, strlen(p->text)));
}

static enum lac_outcome anchor_value(struct lac_engine *engine, struct lac_hunt *hunt,
				     const struct lacuna_predicate *p, u32 candidate, const u8 *bytes)
{
	return fits_if(lac_load(engine, hunt->member->type, bytes) == p->arg[0]);
}

static enum lac_outcome range(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
			      u32 candidate, const u8 *bytes)
{
	s64 value = lac_load(engine, hunt->member->type, bytes);

	return fits_if(p->arg[0] <= value && value <= p->arg[1]);
}

void lac_ask(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct lac_view *view = &engine->view;
	enum lac_outcome of_zero;

	switch (p->kind) {
	case LACUNA_ANCHOR_TEXT:
		return lac_ask_each(engine, hunt, p, view->anchor, anchor_text, LAC_ASK_ZEROS);
	case LACUNA_ANCHOR_VALUE:
		return lac_ask_each(engine, hunt, p, view->anchor, anchor_value, fits_if(!p->arg[0]));
	case LACUNA_RANGE:
		of_zero = fits_if(p->arg[0] <= 0 && 0 <= p->arg[1]);
		return lac_ask_each(engine, hunt, p, view->instance, range, of_zero);
	case LACUNA_TEXT:
		return lac_text(engine, hunt, p);
	case LACUNA_TEXT_ECHOED:
		return lac_text_echoed(engine, hunt, p);
	case LACUNA_RING:
		return lac_ring(engine, hunt, p);
	case LACUNA_RING_COUNTS:
		return lac_ring_counts(engine, hunt, p);
	case LACUNA_UNIQUE:
		return lac_unique(engine, hunt, p);
	case LACUNA_LEADS_TO_ROOT:
		return lac_leads_to_root(engine, hunt, p);
	case LACUNA_IS_ROOT:
		return lac_is_root(engine, hunt, p);
	case LACUNA_CODE_START:
	case LACUNA_CODE_END:
		return lac_code_bound(engine, hunt, p);
	case LACUNA_TEXT_PART:
		return lac_text_part(engine, hunt, p);
	case LACUNA_EXTENT:
		return lac_extent(engine, hunt, p);
	case LACUNA_DIFFERS_IN_THREADS:
		return lac_differs_in_threads(engine, hunt, p);
	case LACUNA_NULL_AT_TIMES:
		return lac_null_at_times(engine, hunt, p);
	}
}
