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

/* Does @pointer lead to the page-table root in CR3, or, where that is not known, to one of a process? */
bool lac_points_to_root(struct lac_engine *engine, u64 pointer);

/* The number or pointer in @bytes. Ints and the words of i386 are extended by their signs. */
static inline s64 lac_load(const struct lac_engine *engine, u8 type, const u8 *bytes)
{
	u64 word;
	s32 number;

	if (type != LACUNA_TYPE_INT && engine->word == sizeof(word)) {
		memcpy(&word, bytes, sizeof(word)); /* little-endian, as all x86 */
		return (s64)word;
	}
	memcpy(&number, bytes, sizeof(number));
	return number;
}

/* The same of a word, extended by zeros. */
static inline u64 lac_load_word(const struct lac_engine *engine, const u8 *bytes)
{
	u64 word = 0;

	memcpy(&word, bytes, engine->word);
	return word;
}

typedef enum lac_outcome lac_asker(struct lac_engine *engine, struct lac_hunt *hunt,
				   const struct lacuna_predicate *p, u32 candidate, const u8 *bytes);

/*
 * Which of the @number words or ints at @bytes, which lie @align apart, are 0: a bit each. Two instructions a value: most of what
 * is in a structure is 0, and all that is 0 gets the same answer.
 */
static __always_inline u64 lac_zeros(const u8 *bytes, u32 number, u32 align, u32 size)
{
	u64 zeros = 0, word;
	u32 half;

	for (bytes += number * align; number; number--) {
		bytes -= align;
		if (size == sizeof(word)) {
			memcpy(&word, bytes, sizeof(word));
			zeros += zeros + (word < 1);
		} else {
			memcpy(&half, bytes, sizeof(half));
			zeros += zeros + (half < 1);
		}
	}
	return zeros;
}

#define LAC_ASK_ZEROS LAC_OUTCOMES /* what is 0 is asked like all else */

static __always_inline void lac_note(struct lac_engine *engine, u32 word, u64 bits, enum lac_outcome outcome, bool witness)
{
	struct lac_answers *answers = &engine->answers;

	if (outcome == LAC_REFUTED)
		answers->refuted[word] |= bits;
	else if (outcome == LAC_UNKNOWN)
		answers->unknown[word] |= bits;
	else if (outcome == LAC_FITS)
		answers->fits[word] |= bits;
	if (outcome == LAC_FITS && witness)
		answers->witnessed[word] |= bits;
}

/*
 * Notes what @ask says of the bytes of each candidate in @window that is not refuted yet; it would say @of_zero of what is 0.
 * Inlined into each predicate, so that what is asked of thousands of candidates costs a few instructions for each.
 */
static __always_inline void lac_ask_each(struct lac_engine *engine, struct lac_hunt *hunt,
					 const struct lacuna_predicate *p, struct lac_window *window, lac_asker *ask,
					 enum lac_outcome of_zero)
{
	u32 word, candidate, first, last, value = hunt->member->type == LACUNA_TYPE_INT ? 4 : engine->word;
	const u8 *span, *bytes;
	enum lac_outcome one;
	u64 left, zeros;

	for (word = hunt->from; word < hunt->to; word++) {
		left = hunt->living[word] & ~engine->answers.refuted[word];
		if (!left)
			continue;
		first = (u32)__builtin_ctzll(left);
		last = LAC_BITS - 1 - (u32)__builtin_clzll(left);
		span = lac_bytes(window, lac_offset(hunt, word * LAC_BITS + first), (last - first) * hunt->align + hunt->size);
		if (of_zero != LAC_ASK_ZEROS && span && last - first < 16 * lac_weight(left)) {
			if (value == 8)
				zeros = lac_zeros(span, last - first + 1, hunt->align, 8);
			else
				zeros = lac_zeros(span, last - first + 1, hunt->align, 4);
			zeros = zeros << first & left;
			lac_note(engine, word, zeros, of_zero, p->witness);
			left &= ~zeros;
		}
		for (; left; left &= left - 1) {
			candidate = word * LAC_BITS + (u32)__builtin_ctzll(left);
			bytes = span ? span + (candidate % LAC_BITS - first) * hunt->align :
				       lac_bytes(window, lac_offset(hunt, candidate), hunt->size);
			/* what the guest has nothing mapped at is no member of its */
			if (bytes)
				one = ask(engine, hunt, p, candidate, bytes);
			else if (window == engine->view.instance &&
				 lac_absent(window, lac_offset(hunt, candidate), hunt->size))
				one = LAC_REFUTED;
			else
				one = LAC_UNKNOWN;
			lac_note(engine, word, left & -left, one, p->witness);
		}
	}
}

/* Notes the answer of one candidate. */
void lac_answer(struct lac_engine *engine, const struct lacuna_predicate *p, u32 candidate, enum lac_outcome outcome);

/* The next candidate from @from on that is not refuted; hunt->number: there is none. */
u32 lac_next_asked(const struct lac_engine *engine, const struct lac_hunt *hunt, u32 from);

/* How many are not refuted. */
u32 lac_asked(const struct lac_engine *engine, const struct lac_hunt *hunt);

#define lac_for_asked(engine, hunt, candidate) \
	for ((candidate) = lac_next_asked(engine, hunt, 0); (candidate) < (hunt)->number; \
	     (candidate) = lac_next_asked(engine, hunt, (candidate) + 1))

/* Each answers for all candidates that are not refuted yet. */
typedef void lac_predicate(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p);

/* predicate_task.c */
lac_predicate lac_text, lac_unique, lac_leads_to_root, lac_null_at_times;

/* predicate_ring.c */
lac_predicate lac_ring, lac_ring_counts, lac_differs_in_threads;

/* The instances on the ring of the list at @offset, in engine->ring: how many; 0: it could not be followed. */
u32 lac_read_ring(struct lac_engine *engine, s32 offset);

/* predicate_mm.c */
lac_predicate lac_is_root, lac_code_bound;

/* predicate_module.c */
lac_predicate lac_text_echoed, lac_text_part, lac_extent;

#endif
