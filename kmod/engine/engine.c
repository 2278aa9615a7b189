// SPDX-License-Identifier: GPL-2.0-only
#include "engine.h"
#include "internal.h"

/* A survivor that was refuted this often, and for every fourth time it was seen at work, was not the truth. */
#define MAX_DOUBTS 4

/* Where can the member be, in a kernel with words of @word bytes? */
static void hunt_shape(struct lac_hunt *hunt, const struct lacuna_constraints *set, u8 word)
{
	const struct lacuna_member *member = hunt->member;
	const struct lacuna_structure *structure = &set->structures[member->structure];
	const u8 sizes[LACUNA_TYPES] = { 4, word, word, 2 * word, member->size };
	const u8 aligns[LACUNA_TYPES] = { 4, word, word, word, 1 };

	hunt->size = sizes[member->type];
	hunt->align = member->align ? member->align : aligns[member->type];
	hunt->low = structure->low;
	hunt->number = (u32)(structure->high - structure->low - hunt->size) / hunt->align + 1;
}

/* Memory for the kernel in which the member can be in more places. */
static bool hunt_init(struct lac_hunt *hunt, const struct lacuna_constraints *set, u32 index)
{
	hunt->member = &set->members[index];
	hunt_shape(hunt, set, 4);
	hunt->living = lac_alloc(hunt->number * sizeof(*hunt->living));
	hunt->history = lac_alloc(hunt->number * sizeof(*hunt->history));
	hunt->strikes = lac_alloc(hunt->number * sizeof(*hunt->strikes));
	hunt->witnesses = lac_alloc(hunt->number * sizeof(*hunt->witnesses));
	hunt->instances = lac_alloc(hunt->number * sizeof(*hunt->instances));
	hunt->nulls = lac_alloc(hunt->number * sizeof(*hunt->nulls));
	return hunt->living && hunt->history && hunt->strikes && hunt->witnesses && hunt->instances && hunt->nulls;
}

static void hunt_start(struct lac_hunt *hunt, const struct lacuna_constraints *set, u8 word)
{
	u32 i;

	hunt_shape(hunt, set, word);
	for (i = 0; i < hunt->number; i++)
		hunt->living[i] = (u16)i;
	memset(hunt->history, 0, hunt->number * sizeof(*hunt->history));
	memset(hunt->strikes, 0, hunt->number * sizeof(*hunt->strikes));
	memset(hunt->witnesses, 0, hunt->number * sizeof(*hunt->witnesses));
	memset(hunt->instances, 0, hunt->number * sizeof(*hunt->instances));
	memset(hunt->nulls, 0, hunt->number * sizeof(*hunt->nulls));
	hunt->alive = hunt->number;
	hunt->events = 0;
	hunt->doubts = 0;
	hunt->seen_nr = 0;
	hunt->settled = false;
	hunt->contradicted = false;
	hunt->tied = false;
	hunt->survivor = hunt->number;
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

static u32 instances_of(const struct lac_hunt *hunt, u32 candidate)
{
	u32 bits = hunt->instances[candidate], number;

	for (number = 0; bits; number++)
		bits &= bits - 1;
	return number;
}

/*
 * Instances lie side by side in memory. What is in the next one is no member of this one, however much alike they are: threads
 * share their mm, and a process that has just forked has its child's code.
 */
static bool is_in_next(const struct lac_view *view, s32 offset, u32 size)
{
	return view->instance->at + (s64)offset + size > view->next;
}

static enum lac_outcome ask_all(struct lac_engine *engine, struct lac_hunt *hunt, s32 offset)
{
	enum lac_outcome all = LAC_SILENT, one;
	u32 i;

	if (lac_absent(engine->view.instance, offset, hunt->size) || is_in_next(&engine->view, offset, hunt->size))
		return LAC_REFUTED;
	for (i = 0; i < hunt->member->predicates_nr; i++) {
		const struct lacuna_predicate *p = &hunt->member->predicates[i];

		if (!(p->on & engine->view.event->on))
			continue;
		one = lac_ask(engine, hunt, p, offset);
		if (one == LAC_REFUTED)
			return LAC_REFUTED;
		if (one == LAC_UNKNOWN)
			all = LAC_UNKNOWN;
		if (one != LAC_FITS || all == LAC_UNKNOWN)
			continue;
		if (p->witness)
			all = LAC_WITNESSED;
		else if (all == LAC_SILENT)
			all = LAC_FITS;
	}
	return all;
}

static void contradict(struct lac_engine *engine, u8 index)
{
	const struct lacuna_constraints *set = &engine->set;
	u8 i, j;

	if (engine->hunts[index].contradicted)
		return;
	engine->hunts[index].contradicted = true;
	engine->hunts[index].tied = false;
	for (i = 0; i < set->members_nr; i++) {
		const struct lacuna_structure *s = &set->structures[set->members[i].structure];
		bool derived = s->source == LACUNA_SOURCE_POINTER && s->member == index;

		for (j = 0; j < set->members[i].predicates_nr; j++)
			derived |= set->members[i].predicates[j].member == index;
		if (derived)
			contradict(engine, i);
	}
}

/* The one candidate that was seen at work; hunt->number: there is none, or more than one. */
static u32 survivor_of(const struct lac_hunt *hunt)
{
	u32 i, survivor = hunt->number;

	for (i = 0; i < hunt->alive; i++) {
		if (!hunt->witnesses[hunt->living[i]])
			continue;
		if (survivor != hunt->number)
			return hunt->number;
		survivor = hunt->living[i];
	}
	return survivor;
}

static void drop_all_but(struct lac_hunt *hunt, u32 survivor)
{
	hunt->living[0] = (u16)survivor;
	hunt->alive = 1;
}

/*
 * How many were seen at work, if all of them were so often enough, so that more of the same tells nothing; else 0. @first: of those;
 * @same: have they never had different values?
 */
static u32 proven(const struct lac_hunt *hunt, u32 *first, bool *same)
{
	u32 number = 0, i, candidate;

	*first = hunt->number;
	*same = true;
	for (i = 0; i < hunt->alive; i++) {
		candidate = hunt->living[i];
		if (!hunt->witnesses[candidate])
			continue;
		if (hunt->witnesses[candidate] < hunt->member->witnesses ||
		    instances_of(hunt, candidate) < hunt->member->instances)
			return 0;
		if (!number++)
			*first = candidate;
		*same &= hunt->history[candidate] == hunt->history[*first];
	}
	return number;
}

static bool is_stuck(const struct lac_hunt *hunt)
{
	u32 first;
	bool same;

	return proven(hunt, &first, &same) > 1;
}

static void find_tie(struct lac_hunt *hunt)
{
	u32 number;
	bool same;

	hunt->tied = false;
	if (hunt->settled || hunt->contradicted)
		return;
	number = proven(hunt, &hunt->offered, &same);
	hunt->tied = same && number > 1 && number <= LACUNA_LISTED_CANDIDATES;
}

static void judge(struct lac_engine *engine, struct lac_hunt *hunt)
{
	u32 survivor = survivor_of(hunt);
	/* what made it the only one does not confirm it: that takes another event */
	bool confirmed = survivor == hunt->survivor && survivor != hunt->number &&
			 engine->outcome[survivor] == LAC_WITNESSED;

	hunt->survivor = survivor;
	if (hunt->settled || !confirmed || hunt->witnesses[survivor] < hunt->member->witnesses ||
	    instances_of(hunt, survivor) < hunt->member->instances)
		return;
	drop_all_but(hunt, survivor);
	hunt->settled = true;
}

/* Of every instance, told something or not: two that differed once are not the same. */
static void remember_values(struct lac_engine *engine, struct lac_hunt *hunt)
{
	u32 i, candidate, half;
	u64 value;

	if (hunt->member->type == LACUNA_TYPE_TEXT || hunt->member->type == LACUNA_TYPE_LIST)
		return;
	for (i = 0; i < hunt->alive; i++) {
		candidate = hunt->living[i];
		if (!lac_value(engine->view.instance, hunt->member->type, lac_offset(hunt, candidate), &value))
			continue;
		half = (u32)(value ^ value >> 32);
		hunt->history[candidate] = (hunt->history[candidate] ^ half) * 0x9e3779b1u + 1;
	}
}

static void strike(struct lac_engine *engine, struct lac_hunt *hunt)
{
	u32 instance = 0, left = 0, i, candidate;

	for (i = 0; i < hunt->alive; i++) {
		candidate = hunt->living[i];
		if (engine->outcome[candidate] == LAC_WITNESSED) {
			if (!instance)
				instance = instance_bit(hunt, engine->view.instance->at);
			hunt->instances[candidate] |= instance;
			hunt->witnesses[candidate] += hunt->witnesses[candidate] < 0xffff;
		}
		if (engine->outcome[candidate] == LAC_REFUTED && ++hunt->strikes[candidate] >= hunt->member->strikes)
			continue;
		hunt->living[left++] = (u16)candidate;
	}
	hunt->alive = left;
}

static bool walks_ring(const struct lacuna_member *member)
{
	u32 i;

	for (i = 0; i < member->predicates_nr; i++)
		if (member->predicates[i].kind == LACUNA_RING || member->predicates[i].kind == LACUNA_RING_COUNTS)
			return true;
	return false;
}

/* Who has been found is asked on, but not at each event; where only threads tell, not before there are processes. */
static bool is_left_out(const struct lac_engine *engine, const struct lac_hunt *hunt)
{
	if (!(engine->view.event->on & (LACUNA_ON_FORK | LACUNA_ON_EXIT)) || !walks_ring(hunt->member))
		return false;
	return hunt->settled ? engine->events % LAC_SAMPLE : !engine->user_space && is_stuck(hunt);
}

static void ask_member(struct lac_engine *engine, u8 index)
{
	struct lac_hunt *hunt = &engine->hunts[index];
	bool witnessed = false, fits = false;
	u32 i;

	if (hunt->contradicted || is_left_out(engine, hunt))
		return;
	for (i = 0; i < hunt->alive; i++) {
		u8 *outcome = &engine->outcome[hunt->living[i]];

		*outcome = ask_all(engine, hunt, lac_offset(hunt, hunt->living[i]));
		witnessed |= *outcome == LAC_WITNESSED;
		fits |= *outcome == LAC_FITS;
	}
	if (engine->view.space.exhausted)
		return;
	remember_values(engine, hunt);
	if (witnessed || fits) {
		strike(engine, hunt);
		hunt->events++;
		judge(engine, hunt);
	} else if (hunt->settled && engine->outcome[hunt->survivor] == LAC_REFUTED) {
		hunt->doubts++;
		if (hunt->doubts >= MAX_DOUBTS && 4 * hunt->doubts >= hunt->witnesses[hunt->survivor])
			contradict(engine, index);
	}
	find_tie(hunt);
}

static void ask_structure(struct lac_engine *engine, u8 structure)
{
	u8 i;

	for (i = 0; i < engine->set.members_nr; i++)
		if (engine->set.members[i].structure == structure)
			ask_member(engine, i);
}

/* Starts on another instance within the same event: nothing computed for the last one holds. */
static void view_instance(struct lac_engine *engine, struct lac_window *instance, struct lac_window *anchor,
			  u64 next)
{
	struct lac_view *view = &engine->view;

	view->instance = instance;
	view->anchor = anchor;
	view->next = next;
	view->ring_read = false;
	view->code_read = false;
	view->parts_read = false;
	view->echoes_read = false;
	view->extent_read = false;
	view->threads_read = false;
	view->ids_for = NULL;
	view->echoes_nr = 0;
	view->initialising = false;
}

/* Of what the pointers at @offset in the tasks known to be alive lead to, the next behind engine->target; ~0: none. */
static u64 next_target(struct lac_engine *engine, s32 offset)
{
	u64 next = ~0ull, pointer;
	u32 i;

	for (i = 0; i < LAC_LIVE_SLOTS; i++) {
		if (!engine->live.slots[i] ||
		    lac_read_word(&engine->view.space, engine->live.slots[i] + (s64)offset, &pointer))
			continue;
		if (pointer > engine->target.at)
			next = min(next, pointer);
	}
	return next;
}

/* At a fork the address space in CR3 is that of the current task, so what its pointers lead to can be checked. */
static void follow_pointers(struct lac_engine *engine)
{
	struct lac_window *task = &engine->instance;
	u64 pointer;
	u8 i;

	for (i = 0; i < engine->set.structures_nr; i++) {
		const struct lacuna_structure *s = &engine->set.structures[i];

		if (s->source != LACUNA_SOURCE_POINTER || !lac_known(engine, s->member))
			continue;
		if (!lac_word(task, lac_known_offset(engine, s->member), &pointer) || !pointer)
			continue;
		if (!lac_window_open(&engine->target, &engine->view.space, pointer, s->low, s->high))
			continue;
		view_instance(engine, &engine->target, NULL, next_target(engine, lac_known_offset(engine, s->member)));
		ask_structure(engine, i);
	}
}

static enum lac_used task_event(struct lac_engine *engine, u8 structure)
{
	const struct lacuna_structure *s = &engine->set.structures[structure];
	const struct lac_event *event = engine->view.event;
	struct lac_space *space = &engine->view.space;

	if (!lac_is_kernel(space, event->subject) || event->subject % engine->word)
		return LAC_NO_INSTANCE;
	if (!lac_window_open(&engine->instance, space, event->subject, s->low, s->high) ||
	    !lac_window_open(&engine->anchor, space, engine->facts.init_task, s->low, s->high))
		return LAC_NO_INSTANCE;
	engine->events++;
	lac_live_add(&engine->live, event->subject);
	/* a kernel thread runs on the kernel's page tables, or on those of the process that ran before it */
	if (event->subject == engine->facts.init_task)
		engine->kernel_root = space->root;
	else if (engine->kernel_root && space->root != engine->kernel_root)
		engine->user_space = true;
	view_instance(engine, &engine->instance, &engine->anchor, lac_live_next(&engine->live, event->subject));
	ask_structure(engine, structure);
	if (event->on == LACUNA_ON_FORK)
		follow_pointers(engine);
	else
		lac_live_remove(&engine->live, event->subject);
	return LAC_USED;
}

static enum lac_used look_at_tasks(struct lac_engine *engine, u8 structure)
{
	const struct lacuna_structure *s = &engine->set.structures[structure];
	u8 i;

	if (!lac_window_open(&engine->anchor, &engine->view.space, engine->facts.init_task, s->low, s->high))
		return LAC_NO_INSTANCE;
	view_instance(engine, &engine->anchor, &engine->anchor, ~0ull);
	for (i = 0; i < engine->set.members_nr; i++)
		if (engine->set.members[i].structure == structure && !engine->hunts[i].settled)
			ask_member(engine, i);
	return LAC_USED;
}

static bool window_holds(struct lac_window *window, u64 wanted)
{
	s32 offset;
	u64 word;

	for (offset = window->low; offset < window->low + (s32)window->size; offset += window->word)
		if (lac_word(window, offset, &word) && word == wanted)
			return true;
	return false;
}

/* A bit for each member that is known. */
static u32 known_members(const struct lac_engine *engine)
{
	u32 known = 0;
	u8 i;

	for (i = 0; i < engine->set.members_nr; i++)
		known |= (u32)lac_known(engine, i) << i;
	return known;
}

static bool rests_on(const struct lacuna_member *member, u32 others)
{
	u8 i;

	for (i = 0; i < member->predicates_nr; i++)
		if (member->predicates[i].member != LACUNA_NO_MEMBER && others & 1u << member->predicates[i].member)
			return true;
	return false;
}

/*
 * While a member was not known, nothing could be said of those that rest on it. Of the modules that were loaded then it can be
 * said now: they are still there.
 */
static void ask_listed_modules(struct lac_engine *engine, u8 structure, u64 initialised, u32 now_known)
{
	const struct lacuna_structure *s = &engine->set.structures[structure];
	struct lac_space *space = &engine->view.space;
	u64 head = engine->facts.modules, node = head;
	u32 listed;
	u8 i;

	for (listed = 0; listed < LAC_MAX_MODULES; listed++) {
		if (!lac_is_kernel(space, node) || node % engine->word || lac_read_word(space, node, &node) || node == head)
			return;
		if (node == initialised || !lac_window_open(&engine->target, space, node, s->low, s->high))
			continue;
		view_instance(engine, &engine->target, NULL, ~0ull);
		for (i = 0; i < engine->set.members_nr; i++)
			if (engine->set.members[i].structure == structure && rests_on(&engine->set.members[i], now_known))
				ask_member(engine, i);
	}
}

/* From a module, or from the head, to the one that was loaded after it; false: this is not, or no more, on the list. */
static bool step_to_newer(struct lac_engine *engine, u64 *node)
{
	struct lac_space *space = &engine->view.space;
	u64 newer, older;

	if (lac_read_word(space, *node + engine->word, &newer) || !lac_is_kernel(space, newer) || newer % engine->word ||
	    lac_read_word(space, newer, &older) || older != *node)
		return false;
	*node = newer;
	return true;
}

/*
 * One of the modules that are there after the other, from the first that was loaded on, and again, but for the one @initialising;
 * 0: there is none. New modules are put first on the list, so who goes on from where he was misses none.
 */
static u64 next_listed(struct lac_engine *engine, u64 initialising)
{
	u64 head = engine->facts.modules, node = engine->listed ? engine->listed : head;
	u32 steps;

	/* off the list, or behind its end; past the one left out; behind the end; past it */
	for (steps = 0; steps < 4; steps++) {
		if (!step_to_newer(engine, &node)) {
			if (node == head)
				break;
			node = head;
		} else if (node != head && node != initialising) {
			engine->listed = node;
			return node;
		}
	}
	return 0;
}

static enum lac_used listed_module_event(struct lac_engine *engine, u8 structure, u64 initialising)
{
	const struct lacuna_structure *s = &engine->set.structures[structure];
	u64 node = engine->facts.modules ? next_listed(engine, initialising) : 0;

	if (!node || !lac_window_open(&engine->instance, &engine->view.space, node, s->low, s->high))
		return LAC_NO_INSTANCE;
	view_instance(engine, &engine->instance, NULL, ~0ull);
	ask_structure(engine, structure);
	return LAC_USED;
}

/*
 * The module whose init function is about to run keeps a pointer to it; new modules are put first on the list. What a module is once
 * it has been initialised is asked of another.
 */
static enum lac_used module_event(struct lac_engine *engine, u8 structure)
{
	u32 known = known_members(engine);
	const struct lacuna_structure *s = &engine->set.structures[structure];
	u64 function = engine->view.event->subject, head = engine->facts.modules, node = head;
	struct lac_space *space = &engine->view.space;
	u32 i;

	if (function == LAC_LISTED_MODULE)
		return listed_module_event(engine, structure, 0);
	if (engine->facts.text <= function && function < engine->facts.end)
		return LAC_BUILTIN;
	for (i = 0; i < LAC_MAX_MODULES; i++) {
		if (!lac_is_kernel(space, node) || node % engine->word || lac_read_word(space, node, &node))
			break;
		if (node == head || !lac_window_open(&engine->instance, space, node, s->low, s->high))
			break;
		if (!window_holds(&engine->instance, function))
			continue;
		view_instance(engine, &engine->instance, NULL, ~0ull);
		engine->view.initialising = true;
		ask_structure(engine, structure);
		listed_module_event(engine, structure, node);
		ask_listed_modules(engine, structure, node, known_members(engine) & ~known);
		return LAC_USED;
	}
	return LAC_NO_INSTANCE;
}

/*
 * Without an event nobody is caught in a function, and which task runs is not known: what there is to see hangs on init_task and on
 * the list of modules, in the kernel's own half of its page tables.
 */
static enum lac_used look(struct lac_engine *engine, u8 structure)
{
	enum lac_used used = LAC_NO_INSTANCE;
	u32 i;

	if (!engine->kernel_root)
		return LAC_NO_INSTANCE;
	engine->view.space.root = engine->kernel_root;
	switch (engine->set.structures[structure].source) {
	case LACUNA_SOURCE_TASK:
		return look_at_tasks(engine, structure);
	case LACUNA_SOURCE_MODULE:
		for (i = 0; i < LAC_LOOKED_MODULES; i++)
			if (listed_module_event(engine, structure, 0) == LAC_USED)
				used = LAC_USED;
		return used;
	}
	return used;
}

/*
 * An i386 kernel and all its slide lie in the first 512 MiB that it maps from CONFIG_PAGE_OFFSET on (KERNEL_IMAGE_SIZE), so
 * no address of it can be further below its text than that.
 */
#define I386_IMAGE_SIZE 0x20000000ull

static bool start_space(struct lac_engine *engine, const struct lac_event *event, const struct lac_memory *memory)
{
	struct lac_space *space = &engine->view.space;

	lac_space_init(space, memory, event->cr3, event->paging);
	memset(engine->tables.gpa, 0, sizeof(engine->tables.gpa));
	space->tables = &engine->tables;
	if (space->word == 4 && engine->facts.text > space->kernel_start + I386_IMAGE_SIZE)
		space->kernel_start = engine->facts.text - I386_IMAGE_SIZE;
	return space->word == engine->word;
}

enum lac_used lac_engine_event(struct lac_engine *engine, const struct lac_event *event,
			       const struct lac_memory *memory)
{
	u8 source = event->on == LACUNA_ON_INITCALL ? LACUNA_SOURCE_MODULE : LACUNA_SOURCE_TASK;
	enum lac_used used = LAC_NO_INSTANCE, one;
	u8 i;

	engine->view.event = event;
	engine->target.at = 0;
	if (!start_space(engine, event, memory))
		return LAC_NO_INSTANCE;
	for (i = 0; i < engine->set.structures_nr; i++) {
		if (event->on == LACUNA_ON_LOOK)
			one = look(engine, i);
		else if (engine->set.structures[i].source != source)
			continue;
		else
			one = source == LACUNA_SOURCE_MODULE ? module_event(engine, i) : task_event(engine, i);
		if (one != LAC_NO_INSTANCE)
			used = one;
	}
	engine->view.event = NULL;
	return used;
}

void lac_engine_forget(struct lac_engine *engine, u64 task)
{
	if (task == LAC_ALL_TASKS)
		memset(&engine->live, 0, sizeof(engine->live));
	else
		lac_live_remove(&engine->live, task);
}

/* Does the kernel lack the structure that member @index is one of? */
static bool is_of_nothing(const struct lac_engine *engine, u32 index)
{
	const struct lacuna_constraints *set = &engine->set;

	return !engine->facts.modules && set->structures[set->members[index].structure].source == LACUNA_SOURCE_MODULE;
}

bool lac_engine_settled(const struct lac_engine *engine, bool modules)
{
	const struct lacuna_constraints *set = &engine->set;
	u32 i;

	for (i = 0; i < set->members_nr; i++) {
		bool of_module = set->structures[set->members[i].structure].source == LACUNA_SOURCE_MODULE;

		if (of_module == modules && !is_of_nothing(engine, i) && !engine->hunts[i].settled &&
		    !engine->hunts[i].contradicted && !engine->hunts[i].tied)
			return false;
	}
	return true;
}

static bool is_looked_for(const struct lacuna_member *member)
{
	u32 i;

	for (i = 0; i < member->predicates_nr; i++)
		if (member->predicates[i].witness && member->predicates[i].on & LACUNA_ON_LOOK)
			return true;
	return false;
}

bool lac_engine_wants_looks(const struct lac_engine *engine)
{
	u32 i;

	if (!engine->kernel_root)
		return false;
	for (i = 0; i < engine->set.members_nr; i++) {
		const struct lac_hunt *hunt = &engine->hunts[i];

		if (hunt->settled || hunt->contradicted || !is_looked_for(hunt->member) || is_of_nothing(engine, i))
			continue;
		/* modules stay where they are; of tasks a look tells only what a thread is that is there */
		if (engine->set.structures[hunt->member->structure].source == LACUNA_SOURCE_MODULE || hunt->tied ||
		    hunt->survivor != hunt->number)
			return true;
	}
	return false;
}

/* Only of a process is it known what leads to the page-table root, and what lies behind that. */
static bool needs_process(const struct lac_engine *engine, const struct lac_hunt *hunt)
{
	u32 i;

	if (engine->set.structures[hunt->member->structure].source == LACUNA_SOURCE_POINTER)
		return true;
	for (i = 0; i < hunt->member->predicates_nr; i++)
		if (hunt->member->predicates[i].kind == LACUNA_LEADS_TO_ROOT)
			return true;
	return false;
}

bool lac_engine_waits_for_user_space(const struct lac_engine *engine)
{
	const struct lacuna_constraints *set = &engine->set;
	bool waits = false;
	u32 i;

	if (engine->user_space || !engine->kernel_root)
		return false;
	for (i = 0; i < set->members_nr; i++) {
		const struct lac_hunt *hunt = &engine->hunts[i];

		if (set->structures[set->members[i].structure].source == LACUNA_SOURCE_MODULE || hunt->settled ||
		    hunt->contradicted || is_stuck(hunt))
			continue;
		if (!needs_process(engine, hunt))
			return false;
		waits = true;
	}
	return waits;
}

bool lac_engine_user_space(const struct lac_engine *engine)
{
	return engine->user_space;
}

u64 lac_engine_root(const struct lac_engine *engine)
{
	return engine->kernel_root;
}

u32 lac_engine_members(const struct lac_engine *engine)
{
	return engine->set.members_nr;
}

void lac_engine_report(const struct lac_engine *engine, u32 member, struct lacuna_member_report *report)
{
	const struct lac_hunt *hunt = &engine->hunts[member];
	u32 i, candidate, left = 0, best = 0, instances = 0;

	memset(report, 0, sizeof(*report));
	if (is_of_nothing(engine, member)) {
		report->state = LACUNA_ABSENT;
		return;
	}
	for (i = 0; i < hunt->alive; i++) {
		candidate = hunt->living[i];
		/* as with a survivor, what was never seen at work is out */
		if (hunt->tied && !hunt->witnesses[candidate])
			continue;
		if (left < LACUNA_LISTED_CANDIDATES)
			report->candidates[left] = lac_offset(hunt, candidate);
		left++;
		if (hunt->witnesses[candidate] > best)
			best = hunt->witnesses[candidate];
		instances = max(instances, instances_of(hunt, candidate));
	}
	report->state = hunt->contradicted ? LACUNA_CONTRADICTED :
			hunt->settled      ? LACUNA_RESOLVED :
			hunt->tied         ? LACUNA_TIED :
					     LACUNA_OPEN;
	report->remaining = left;
	report->eliminated = hunt->number - left;
	report->events = hunt->events;
	report->instances = instances;
	report->witnesses = best;
}

struct lac_engine *lac_engine_create(const struct lacuna_constraints *set)
{
	struct lac_engine *engine = lac_alloc(sizeof(*engine));
	u32 i;

	if (!engine)
		return NULL;
	engine->set = *set;
	for (i = 0; i < set->members_nr; i++) {
		if (!hunt_init(&engine->hunts[i], &engine->set, i)) {
			lac_engine_destroy(engine);
			return NULL;
		}
	}
	return engine;
}

void lac_engine_destroy(struct lac_engine *engine)
{
	u32 i;

	if (!engine)
		return;
	for (i = 0; i < ARRAY_SIZE(engine->hunts); i++) {
		lac_free(engine->hunts[i].living);
		lac_free(engine->hunts[i].history);
		lac_free(engine->hunts[i].strikes);
		lac_free(engine->hunts[i].witnesses);
		lac_free(engine->hunts[i].instances);
		lac_free(engine->hunts[i].nulls);
	}
	lac_free(engine);
}

void lac_engine_start(struct lac_engine *engine, const struct lac_facts *facts)
{
	u32 i;

	engine->facts = *facts;
	engine->word = facts->text >> 32 ? 8 : 4;
	engine->user_space = false;
	engine->kernel_root = 0;
	engine->told_most = 0;
	engine->listed = 0;
	engine->events = 0;
	engine->next_searched = 0;
	engine->thread_link = -1;
	memset(engine->told, 0, sizeof(engine->told));
	memset(&engine->live, 0, sizeof(engine->live));
	for (i = 0; i < engine->set.members_nr; i++)
		hunt_start(&engine->hunts[i], &engine->set, engine->word);
}
