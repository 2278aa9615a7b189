/* SPDX-License-Identifier: GPL-2.0-only */
/* What is kept of the candidates of a member. */
#ifndef LACUNA_ENGINE_CANDIDATES_H
#define LACUNA_ENGINE_CANDIDATES_H

#include "internal.h"

/* Bytes that are enough for the bitmaps of @member in any guest. */
u32 lac_bitmaps_size(const struct lacuna_member *member, const struct lacuna_structure *structure);

/* All candidates of @hunt->member, in a kernel with words of @word bytes. */
void lac_candidates_start(struct lac_hunt *hunt, const struct lacuna_structure *structure, u8 word, u64 *bitmaps);

/* Strikes those that are refuted, and notes who was seen at work in @instance, which may count for two. False: there were none. */
bool lac_candidates_strike(struct lac_hunt *hunt, const struct lac_answers *answers, u64 instance, bool counts_for_two);

void lac_candidates_drop_all_but(struct lac_hunt *hunt, u32 survivor);

/* The one candidate that was seen at work; hunt->number: there is none, or more than one. */
u32 lac_candidates_only_one(const struct lac_hunt *hunt);

/* Is it left? */
bool lac_candidate_lives(const struct lac_hunt *hunt, u32 candidate);

/* Is it among those of which a proof is kept? */
bool lac_candidate_worked(const struct lac_hunt *hunt, u32 candidate);

u32 lac_instances_of(const struct lac_proof *proof);

/* Was it seen at work often enough, in enough instances? */
bool lac_candidate_has_proof(const struct lac_hunt *hunt, const struct lac_proof *proof);

/*
 * How many were seen at work, if all of them were so often enough, so that more of the same tells nothing; else 0. @first: of those;
 * @same: have they never had different values since?
 */
u32 lac_candidates_proven(const struct lac_hunt *hunt, u32 *first, bool *same);

#endif
