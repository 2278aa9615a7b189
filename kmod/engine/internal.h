/* SPDX-License-Identifier: GPL-2.0-only */
/* Shared by the files of the engine. */
#ifndef LACUNA_ENGINE_INTERNAL_H
#define LACUNA_ENGINE_INTERNAL_H

#include "engine.h"
#include "window.h"

#define LAC_MAX_RING 1024 /* instances on a list; of a longer one so many are followed, the oldest */
#define LAC_MIN_RING 3 /* init_task, process 1 and kthreadd: a shorter ring is no evidence */
#define LAC_LIVE_SLOTS 512 /* a power of two; at most half of them are used */
#define LAC_MAX_COSTLY 64 /* so few candidates must be left before what costs many reads is asked */
#define LAC_MAX_MODULES 32 /* the newest modules, among which the one being initialised is looked for */
#define LAC_LOOKED_MODULES 4 /* in one look */
#define LAC_LOOKED_TASKS 32 /* are passed by in one look */
#define LAC_LOOKED_PROCESSES 1 /* is looked at of them, beside process 1 */
#define LAC_MAX_LISTED_MODULES 1024 /* whose text can be told from another's */
#define LAC_MAX_EXTENT 8192 /* pages */
#define LAC_TEXT_SLACK 64 /* bytes: so many zeros are no code */
#define LAC_MAX_ECHOES 256
#define LAC_SEARCHED 8 /* processes in which threads are looked for in one event */
#define LAC_PASSED 64 /* tasks that are passed by on the way to them */
#define LAC_FULL_ROUNDS 16 /* of so many times that they are searched one is for all, kernel threads or not */
#define LAC_FULL_LOOKS 8 /* the same of looks */
#define LAC_LIST_ROUNDS 64 /* after so many, what was found to be no list is looked at again */
#define LAC_THREAD_SAMPLE 8 /* after so many events that showed no thread, one of twice as many is used */
#define LAC_SAMPLE 4 /* of so many events one asks again what has been answered */
#define LAC_RING_SAMPLE 32 /* the same, where that takes many reads */
#define LAC_HEARINGS 4 /* forks of others at which process 1 is asked; after these, at one of LAC_RING_SAMPLE */
#define LAC_BY_NOTHING -1
#define LAC_BY_EVENTS -2
#define LAC_BY_RING -3
#define LAC_KERNEL_EVENTS 6 /* so many of the kernel's own tasks are asked before there are processes */
#define LAC_QUIET 2 /* after so many events that taught nothing others like them are left out */
#define LAC_PROOFS 32 /* candidates of one member of which it is kept what they did at work */
#define LAC_ROW 2048 /* bytes of one task that are read at once along the ring */
#define LAC_COUNTED 16 /* candidates whose values are compared in one walk along the ring */
#define LAC_LEADS 16u /* pointers of which it is remembered for an event where they lead */
#define LAC_VALUES 32768
#define LAC_MAX_TEXT 64
#define LAC_SEEN 32 /* different instances are told apart up to here: a bit each */

enum lac_outcome {
	LAC_SILENT,
	LAC_FITS,
	LAC_WITNESSED,
	LAC_REFUTED,
	LAC_UNKNOWN,
	LAC_OUTCOMES,
};

#define LAC_BITS 64 /* of a word of a bitmap of candidates */
#define LAC_MAX_BITMAP (LACUNA_MAX_WINDOW / LAC_BITS) /* words */

/* What one candidate has shown at work. */
struct lac_proof {
	u16 candidate;
	u16 witnesses; /* events */
	u32 instances; /* which of hunt->seen, a bit each */
	u32 history; /* digest of the values it has had since in all instances */
};

/* All candidates of one member. What is kept of each is a bit here and there: most are never more than struck. */
struct lac_hunt {
	const struct lacuna_member *member;
	u8 size; /* in this guest: bytes */
	u8 align;
	s32 low; /* offset of candidate 0 */
	u32 number;
	u32 alive;
	u32 from, to; /* the words of @living in which some are left: @from <= word < @to */
	u64 *living; /* the candidates that are left */
	u64 *nulls; /* those that have been 0 when LACUNA_NULL_AT_TIMES was asked; NULL: it never is */
	u64 *strikes; /* how often each was struck: a bitmap for each binary digit */
	u8 digits;
	struct lac_proof proofs[LAC_PROOFS]; /* of those left that were ever seen at work */
	u8 proofs_nr;
	bool crowded; /* there was no room for one of them */
	u32 events;
	u32 doubts;
	u64 seen[LAC_SEEN]; /* instances in which some candidate was seen at work */
	u8 seen_nr;
	bool settled;
	bool contradicted;
	u32 survivor; /* the one candidate left that was seen at work; number: none, or several */
	bool tied; /* several were, and have had the same value in every instance since */
	u32 offered; /* when tied: the first of those */
	u32 turns; /* events at which it could have been asked since it was settled, or since it fell quiet */
	bool by_programs; /* only programs tell of it, and what they tell they can choose */
	u32 vouched; /* then, of the candidates that process 1 has spoken for, the lowest; number: it has for none */
	u8 quiet; /* events in a row at which it was asked for nothing, of the same task while as much was known */
	u8 quiet_known;
	u64 quiet_subject;
};

/* What was answered of the candidates of one member at one event; who is in none of them is silent. */
struct lac_answers {
	u64 refuted[LAC_MAX_BITMAP];
	u64 unknown[LAC_MAX_BITMAP];
	u64 fits[LAC_MAX_BITMAP];
	u64 witnessed[LAC_MAX_BITMAP];
	bool news; /* something was learned that is kept elsewhere */
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
	u64 next; /* GVA of the instance that is known to lie next in memory; ~0: none; 0: it cannot be told */
	bool next_read;
	s32 next_by; /* what tells it, LAC_BY_* or the offset in tasks of the pointer that leads to such instances */
	bool ring_read, code_read, parts_read, echoes_read, extent_read, bases_read;
	u32 ring_nr;
	bool ring_long; /* it goes on behind those in engine->ring */
	const struct lac_hunt *counted; /* whose candidates' values along the ring have been looked at; NULL: nobody's */
	bool code_known;
	struct lac_code code;
	bool any_root; /* the process's page-table root is not known: that of any process will do */
	bool told_by_others; /* the program is not process 1's */
	bool is_first; /* the instance is process 1's */
	bool initialising; /* the instance is a module whose init function has not run yet */
	u64 text; /* the one part with text that the instance names; 0: none, or more than one */
	bool nx_tells; /* that memory is executable says that it is not data; computed with the parts */
	u32 echoes_nr;
	u64 extent;
	u32 bases_nr;
	u32 leads_nr;
	struct {
		u64 pointer;
		bool to_root;
	} leads[LAC_LEADS];
};

/* The search for a process that has another thread. */
struct lac_search {
	u64 at; /* the process that was searched last; 0: begin at the end of the ring */
	u32 kernel; /* kernel threads that were met in a row */
	u32 rounds;
	bool begun; /* some process has been */
	u32 fruitless; /* searches in a row that found none */
	u64 leader; /* the last that had another thread; 0: none so far */
	s32 link; /* where that hung */
	u64 lists[LAC_MAX_BITMAP / 4]; /* words of a task in which the processes searched so far have a list */
	u64 doubts[LAC_MAX_BITMAP / 4]; /* those in which one of them had none */
};

struct lac_engine {
	struct lacuna_constraints *set; /* only as many members as it says */
	struct lac_facts facts;
	u8 word; /* of the guest's kernel: bytes */
	bool user_space;
	u8 known; /* how often a member was settled or tied, or no longer was, so far */
	u32 hearings; /* forks of others at which process 1 was asked, or could have been */
	u64 looked; /* the task on the list that was looked at last; 0: none yet */
	u64 listed; /* the module on the list that was asked last; 0: none yet */
	u64 kernel_root; /* the page-table root that init_task ran on; 0: not seen */
	struct lac_live live;
	struct lac_hunt *hunts;
	struct lac_view view;
	struct lac_window instance, anchor;
	struct lac_window row; /* of any instance; and what is read of it for a moment: lac_scratch() */
	struct lac_answers answers;
	union {
		u64 ring[LAC_MAX_RING]; /* the first instances on the ring of the settled list member */
		struct {
			char echoes[LAC_MAX_ECHOES][LAC_MAX_TEXT];
			u16 echo_words[LAC_MAX_ECHOES]; /* which words of the instance lead to them */
			u64 bases[LAC_MAX_LISTED_MODULES]; /* where the text of the modules on the list starts */
		};
	};
	u64 values[LAC_VALUES / LAC_BITS]; /* the values along the ring, a bit each, more than one to a bit */
	u64 on_ring[LAC_LIVE_SLOTS / LAC_BITS]; /* the slots of @live that were met there */
	struct lac_search search;
	u16 echo; /* which word of a module has led to the echo of a text */
	struct lac_tables tables;
	u32 events; /* of tasks, so far */
};

/* A page of room, until the next one or a row is read. */
static inline u8 *lac_scratch(struct lac_engine *engine)
{
	return engine->row.bytes;
}

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

/* The member that is the list of tasks; LACUNA_NO_MEMBER: there is none. */
u8 lac_list_of_tasks(const struct lac_engine *engine);

/* The slot of @task, or the free one where it would be. */
u32 lac_live_slot(const struct lac_live *live, u64 task);
bool lac_live_has(const struct lac_live *live, u64 task);
void lac_live_add(struct lac_live *live, u64 task);
void lac_live_remove(struct lac_live *live, u64 task);
/* The lowest that is higher than @task; ~0: none. */
u64 lac_live_next(const struct lac_live *live, u64 task);

/* The value at @offset of a number or pointer; false: it could not be read. Ints are extended by their sign, words by zeros. */
bool lac_value(struct lac_window *window, u8 type, s32 offset, u64 *value);

/* Asks predicate @predicate of all candidates that it has not been answered of that they are refuted: engine->answers. */
void lac_ask(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *predicate);

#endif
