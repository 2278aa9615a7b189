/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the files of the engine. */
#ifndef LACUNA_ENGINE_INTERNAL_H
#define LACUNA_ENGINE_INTERNAL_H

#include "engine.h"
#include "window.h"

#define LAC_MAX_RING 4096 /* instances on a list; a longer one is not followed */
#define LAC_MIN_RING 3 /* init_task, process 1 and kthreadd: a shorter ring is no evidence */
#define LAC_LIVE_SLOTS 512 /* a power of two; at most half of them are used */
#define LAC_MAX_COSTLY 64 /* so few candidates must be left before what costs many reads is asked */
#define LAC_MAX_MODULES 32 /* the newest modules, among which the one being initialised is looked for */
#define LAC_LOOKED_MODULES 4 /* in one look */
#define LAC_MAX_LISTED_MODULES 1024 /* whose text can be told from another's */
#define LAC_MAX_EXTENT 8192 /* pages */
#define LAC_TEXT_SLACK 64 /* bytes: so many zeros are no code */
#define LAC_MAX_ECHOES 256
#define LAC_MAX_IDS 64
#define LAC_MAX_THREADS 64 /* that are found in one event */
#define LAC_SEARCHED 8 /* processes in which threads are looked for in one event */
#define LAC_SAMPLE 4 /* of so many events one asks again what has been answered, where that takes many reads */
#define LAC_MIN_ID 32 /* smaller numbers are met by chance */
#define LAC_MAX_TEXT 64
#define LAC_SEEN 32 /* different instances are told apart up to here: a bit each */

enum lac_outcome {
	LAC_SILENT,
	LAC_FITS,
	LAC_WITNESSED,
	LAC_REFUTED,
	LAC_UNKNOWN,
};

/* All candidates of one member. */
struct lac_hunt {
	const struct lacuna_member *member;
	u8 size; /* in this guest: bytes */
	u8 align;
	s32 low; /* offset of candidate 0 */
	u32 number;
	u32 alive;
	u16 *living; /* the candidates that are left, in order: so many as @alive says */
	u8 *strikes; /* per candidate */
	u32 *history; /* per candidate: digest of the values it has had in all instances seen */
	u16 *witnesses;
	u8 *nulls; /* per candidate: whether it has been 0 when LACUNA_NULL_AT_TIMES was asked */
	u32 *instances; /* per candidate: which of @seen it was seen at work in, a bit each */
	u32 events;
	u32 doubts;
	u64 seen[LAC_SEEN]; /* instances in which some candidate was seen at work */
	u8 seen_nr;
	bool settled;
	bool contradicted;
	u32 survivor; /* the one candidate left that was seen at work; number: none, or several */
	bool tied; /* several were, and have had the same value in every instance ever seen */
	u32 offered; /* when tied: the first of those */
};

/* The tasks known to be alive: an open-addressed set of their addresses. */
struct lac_live {
	u64 slots[LAC_LIVE_SLOTS];
	u32 used;
};

/* Where a process's code lies according to its program headers. */
struct lac_code {
	u64 start; /* of the lowest executable segment */
	u64 lowest; /* of the lowest segment: what kernels before 5.5 keep as start_code */
	u64 end;
};

/* One event as predicates see it. What is costly is computed when first asked for. */
struct lac_view {
	const struct lac_event *event;
	struct lac_space space;
	struct lac_window *instance;
	struct lac_window *anchor; /* NULL: the structure has none */
	u64 next; /* GVA of the instance that is known to lie next in memory; ~0: none */
	bool ring_read, code_read, parts_read, echoes_read, extent_read;
	u32 ring_nr;
	bool code_known;
	struct lac_code code;
	bool initialising; /* the instance is a module whose init function has not run yet */
	u64 text; /* the one part with text that the instance names; 0: none, or more than one */
	bool nx_tells; /* that memory is executable says that it is not data; computed with the parts */
	u32 echoes_nr;
	const struct lac_hunt *ids_for; /* whose candidates the numbers were compared with; NULL: none yet */
	u32 ids_nr;
	s32 ids[LAC_MAX_IDS]; /* values of candidates that user pointers in the instance lead to */
	u64 extent;
	bool threads_read;
	u32 threads_nr;
};

struct lac_engine {
	struct lacuna_constraints set;
	struct lac_facts facts;
	u8 word; /* of the guest's kernel: bytes */
	bool user_space;
	u64 listed; /* the module on the list that was asked last; 0: none yet */
	u64 kernel_root; /* the page-table root that init_task ran on; 0: not seen */
	struct lac_live live;
	struct lac_hunt hunts[LACUNA_MAX_MEMBERS];
	struct lac_view view;
	struct lac_window instance, anchor, target;
	u8 outcome[LACUNA_MAX_WINDOW];
	u64 ring[LAC_MAX_RING]; /* instances on the ring of the settled list member */
	u64 values[2 * LAC_MAX_RING]; /* hash set of the values along the ring, each with the set's number above it */
	u32 values_number; /* of the set that is in use: what others have left there does not count */
	u32 next_searched; /* which process on the ring is the next to be searched for threads */
	s32 thread_link; /* where a thread was found to hang on its leader; below 0: nowhere yet */
	struct {
		u64 leader, thread;
	} threads[LAC_MAX_THREADS];
	u16 told[LACUNA_MAX_WINDOW / 4]; /* per word of a task: events at which it led to the value of a candidate */
	u16 told_most;
	char echoes[LAC_MAX_ECHOES][LAC_MAX_TEXT];
	u8 page[LAC_PAGE_SIZE];
	struct lac_tables tables;
	u32 events; /* of tasks, so far */
};

static inline s32 lac_offset(const struct lac_hunt *hunt, u32 candidate)
{
	return hunt->low + (s32)(candidate * hunt->align);
}

/* Is the offset of member @index known well enough to build on? What is tied leads to the same wherever it is read. */
static inline bool lac_known(const struct lac_engine *engine, u8 index)
{
	return index != LACUNA_NO_MEMBER && (engine->hunts[index].settled || engine->hunts[index].tied) &&
	       !engine->hunts[index].contradicted;
}

static inline s32 lac_known_offset(const struct lac_engine *engine, u8 index)
{
	const struct lac_hunt *hunt = &engine->hunts[index];

	return lac_offset(hunt, hunt->tied ? hunt->offered : hunt->survivor);
}

bool lac_live_has(const struct lac_live *live, u64 task);
void lac_live_add(struct lac_live *live, u64 task);
void lac_live_remove(struct lac_live *live, u64 task);
/* The lowest that is higher than @task; ~0: none. */
u64 lac_live_next(const struct lac_live *live, u64 task);

/* The value at @offset of a number or pointer; false: it could not be read. Ints are extended by their sign, words by zeros. */
bool lac_value(struct lac_window *window, u8 type, s32 offset, u64 *value);

/* What predicate @predicate says of the candidate at @offset of @hunt's member. */
enum lac_outcome lac_ask(struct lac_engine *engine, struct lac_hunt *hunt,
			 const struct lacuna_predicate *predicate, s32 offset);

#endif
