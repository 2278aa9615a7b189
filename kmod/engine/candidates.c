// SPDX-License-Identifier: GPL-2.0-only
/* What is kept of the candidates of a member, and what an event's answers change in it. */
#include "candidates.h"

static u8 digits_of(u32 number)
{
	u8 digits = 0;

	for (; number; number >>= 1)
		digits++;
	return digits;
}

/* Where can the member be, in a kernel with words of @word bytes? */
static void shape(struct lac_hunt *hunt, const struct lacuna_structure *structure, u8 word)
{
	const struct lacuna_member *member = hunt->member;
	const u8 sizes[LACUNA_TYPES] = { 4, word, word, 2 * word, member->size };
	const u8 aligns[LACUNA_TYPES] = { 4, word, word, word, 1 };

	hunt->size = sizes[member->type];
	hunt->align = member->align ? member->align : aligns[member->type];
	hunt->low = structure->low;
	hunt->number = (u32)(structure->high - structure->low - hunt->size) / hunt->align + 1;
	hunt->digits = digits_of(member->strikes - 1u);
}

static u32 bitmap_words(const struct lac_hunt *hunt)
{
	return (hunt->number + LAC_BITS - 1) / LAC_BITS;
}

static bool asks_for_nulls(const struct lacuna_member *member)
{
	u32 i;

	for (i = 0; i < member->predicates_nr; i++)
		if (member->predicates[i].kind == LACUNA_NULL_AT_TIMES)
			return true;
	return false;
}

static bool is_told_by_programs(const struct lacuna_member *member)
{
	u32 i;

	for (i = 0; i < member->predicates_nr; i++)
		if (member->predicates[i].kind == LACUNA_CODE_START || member->predicates[i].kind == LACUNA_CODE_END)
			return true;
	return false;
}

/* Bytes of all bitmaps of @member, in the kernel in which it can be in more places. */
u32 lac_bitmaps_size(const struct lacuna_member *member, const struct lacuna_structure *structure)
{
	struct lac_hunt hunt = { .member = member };

	shape(&hunt, structure, 4);
	return bitmap_words(&hunt) * (1u + hunt.digits + asks_for_nulls(member)) * (u32)sizeof(u64);
}

void lac_candidates_start(struct lac_hunt *hunt, const struct lacuna_structure *structure, u8 word, u64 *bitmaps)
{
	const struct lacuna_member *member = hunt->member;
	u32 words, i;

	memset(bitmaps, 0, lac_bitmaps_size(member, structure));
	memset(hunt, 0, sizeof(*hunt));
	hunt->member = member;
	shape(hunt, structure, word);
	words = bitmap_words(hunt);
	hunt->living = bitmaps;
	hunt->strikes = hunt->living + words;
	hunt->nulls = asks_for_nulls(member) ? hunt->strikes + words * hunt->digits : NULL;
	for (i = 0; i < hunt->number; i++)
		hunt->living[i / LAC_BITS] |= 1ull << i % LAC_BITS;
	hunt->alive = hunt->number;
	hunt->to = words;
	hunt->survivor = hunt->number;
	hunt->by_programs = is_told_by_programs(member);
	hunt->vouched = hunt->number;
}

/* The bit of an instance in which a candidate is seen at work; 0: more have been seen than are told apart. */
static u32 instance_bit(struct lac_hunt *hunt, u64 instance)
{
	u32 i;

	for (i = 0; i < hunt->seen_nr; i++)
		if (hunt->seen[i] == instance)
			return 1u << i;
	if (hunt->seen_nr == LAC_SEEN)
		return 0;
	hunt->seen[hunt->seen_nr++] = instance;
	return 1u << i;
}

u32 lac_instances_of(const struct lac_proof *proof)
{
	return lac_weight(proof->instances);
}

static struct lac_proof *proof_of(struct lac_hunt *hunt, u32 candidate)
{
	struct lac_proof *proof;
	u32 i;

	for (i = 0; i < hunt->proofs_nr; i++)
		if (hunt->proofs[i].candidate == candidate)
			return &hunt->proofs[i];
	if (hunt->proofs_nr == LAC_PROOFS) {
		hunt->crowded = true;
		return NULL;
	}
	proof = &hunt->proofs[hunt->proofs_nr++];
	*proof = (struct lac_proof){ .candidate = (u16)candidate };
	return proof;
}

bool lac_candidate_worked(const struct lac_hunt *hunt, u32 candidate)
{
	u32 i;

	for (i = 0; i < hunt->proofs_nr; i++)
		if (hunt->proofs[i].candidate == candidate)
			return true;
	return false;
}

static void note_work(struct lac_hunt *hunt, u32 word, u64 witnessed, u64 instance, bool counts_for_two)
{
	u32 bit = witnessed ? instance_bit(hunt, instance) : 0;
	struct lac_proof *proof;

	if (witnessed && counts_for_two)
		bit |= instance_bit(hunt, instance + 1); /* nothing lies there */

	for (; witnessed; witnessed &= witnessed - 1) {
		proof = proof_of(hunt, word * LAC_BITS + (u32)__builtin_ctzll(witnessed));
		if (!proof)
			continue;
		proof->instances |= bit;
		proof->witnesses += proof->witnesses < 0xffff;
	}
}

/* Counts a strike for each of @refuted; those that have now had enough of them. */
static u64 strike(struct lac_hunt *hunt, u32 word, u64 refuted)
{
	u32 words = bitmap_words(hunt), most = hunt->member->strikes - 1u, digit;
	u64 dead = refuted, carry, *counted;

	for (digit = 0; digit < hunt->digits; digit++) {
		counted = &hunt->strikes[digit * words + word];
		dead &= most >> digit & 1 ? *counted : ~*counted;
	}
	carry = refuted & ~dead;
	for (digit = 0; digit < hunt->digits; digit++) {
		counted = &hunt->strikes[digit * words + word];
		*counted ^= carry;
		carry &= ~*counted;
	}
	return dead;
}

bool lac_candidate_lives(const struct lac_hunt *hunt, u32 candidate)
{
	return candidate < hunt->number && hunt->living[candidate / LAC_BITS] >> candidate % LAC_BITS & 1;
}

/* What is kept of those that are gone, and which words need not be looked at any more. */
static void bury(struct lac_hunt *hunt)
{
	u32 i, left = 0;

	for (i = 0; i < hunt->proofs_nr; i++)
		if (lac_candidate_lives(hunt, hunt->proofs[i].candidate))
			hunt->proofs[left++] = hunt->proofs[i];
	hunt->proofs_nr = (u8)left;
	while (hunt->from < hunt->to && !hunt->living[hunt->from])
		hunt->from++;
	while (hunt->from < hunt->to && !hunt->living[hunt->to - 1])
		hunt->to--;
}

bool lac_candidates_strike(struct lac_hunt *hunt, const struct lac_answers *answers, u64 instance, bool counts_for_two)
{
	u64 refuted, witnessed, dead;
	bool any = false;
	u32 word;

	for (word = hunt->from; word < hunt->to; word++) {
		refuted = answers->refuted[word] & hunt->living[word];
		witnessed = answers->witnessed[word] & hunt->living[word] & ~refuted & ~answers->unknown[word];
		if (!(refuted | witnessed))
			continue;
		any = true;
		note_work(hunt, word, witnessed, instance, counts_for_two);
		dead = strike(hunt, word, refuted);
		if (!dead)
			continue;
		hunt->alive -= lac_weight(dead);
		hunt->living[word] &= ~dead;
	}
	bury(hunt);
	return any;
}

void lac_candidates_drop_all_but(struct lac_hunt *hunt, u32 survivor)
{
	memset(hunt->living + hunt->from, 0, (hunt->to - hunt->from) * sizeof(*hunt->living));
	hunt->living[survivor / LAC_BITS] = 1ull << survivor % LAC_BITS;
	hunt->alive = 1;
	bury(hunt);
}

/* Are the proofs those of all that were ever seen at work? Once there was no room for one, who is left must be among them. */
static bool are_all(const struct lac_hunt *hunt)
{
	return !hunt->crowded || hunt->alive == hunt->proofs_nr;
}

u32 lac_candidates_only_one(const struct lac_hunt *hunt)
{
	return hunt->proofs_nr == 1 && are_all(hunt) ? hunt->proofs[0].candidate : hunt->number;
}

bool lac_candidate_has_proof(const struct lac_hunt *hunt, const struct lac_proof *proof)
{
	return proof->witnesses >= hunt->member->witnesses && lac_instances_of(proof) >= hunt->member->instances;
}

u32 lac_candidates_proven(const struct lac_hunt *hunt, u32 *first, bool *same)
{
	u32 i;

	*first = hunt->number;
	*same = true;
	if (!are_all(hunt))
		return 0;
	for (i = 0; i < hunt->proofs_nr; i++) {
		if (!lac_candidate_has_proof(hunt, &hunt->proofs[i]))
			return 0;
		*same &= hunt->proofs[i].history == hunt->proofs[0].history;
		if (hunt->proofs[i].candidate < *first)
			*first = hunt->proofs[i].candidate;
	}
	return hunt->proofs_nr;
}
