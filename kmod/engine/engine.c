// SPDX-License-Identifier: GPL-2.0-only
#include "engine.h"
#include "candidates.h"
#include "predicate.h"

/* A survivor that was refuted this often, and for every fourth time it was seen at work, was not the truth. */
#define MAX_DOUBTS 4

static void contradict(struct lac_engine *engine, u8 index)
{
	const struct lacuna_constraints *set = engine->set;
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

static bool is_stuck(const struct lac_hunt *hunt)
{
	u32 first;
	bool same;

	return lac_candidates_proven(hunt, &first, &same) > 1;
}

u8 lac_list_of_tasks(const struct lac_engine *engine)
{
	const struct lacuna_member *members = engine->set->members;
	u8 i, j;

	for (i = 0; i < engine->set->members_nr; i++)
		for (j = 0; j < members[i].predicates_nr; j++)
			if (members[i].predicates[j].kind == LACUNA_RING)
				return i;
	return LACUNA_NO_MEMBER;
}

static void find_tie(struct lac_engine *engine, struct lac_hunt *hunt)
{
	bool same, was = hunt->tied;
	u32 number;

	hunt->tied = false;
	if (!hunt->settled && !hunt->contradicted) {
		number = lac_candidates_proven(hunt, &hunt->offered, &same);
		hunt->tied = same && number > 1 && number <= LACUNA_LISTED_CANDIDATES &&
			     (!hunt->by_programs || lac_candidate_worked(hunt, hunt->vouched));
	}
	engine->known += hunt->tied != was;
}

static bool is_witnessed(const struct lac_engine *engine, u32 candidate)
{
	const struct lac_answers *answers = &engine->answers;
	u32 word = candidate / LAC_BITS;

	return (answers->witnessed[word] & ~answers->refuted[word] & ~answers->unknown[word]) >> candidate % LAC_BITS & 1;
}

static bool is_refuted(const struct lac_engine *engine, u32 candidate)
{
	return engine->answers.refuted[candidate / LAC_BITS] >> candidate % LAC_BITS & 1;
}

static void judge(struct lac_engine *engine, struct lac_hunt *hunt)
{
	u32 survivor = lac_candidates_only_one(hunt);
	/* what made it the only one does not confirm it: that takes another event */
	bool confirmed = survivor == hunt->survivor && survivor != hunt->number && is_witnessed(engine, survivor);

	hunt->survivor = survivor;
	if (hunt->settled || !confirmed || !lac_candidate_has_proof(hunt, &hunt->proofs[0]) ||
	    (hunt->by_programs && survivor != hunt->vouched))
		return;
	lac_candidates_drop_all_but(hunt, survivor);
	hunt->settled = true;
	hunt->turns = 1;
	engine->known++;
}

static bool has_values(const struct lac_hunt *hunt)
{
	return hunt->member->type != LACUNA_TYPE_TEXT && hunt->member->type != LACUNA_TYPE_LIST;
}

/* Of every instance from then on, told something or not: two that differed once are not the same. */
static void remember_values(struct lac_engine *engine, struct lac_hunt *hunt)
{
	struct lac_proof *proof;
	u64 value;
	u32 half;

	if (!has_values(hunt))
		return;
	for (proof = hunt->proofs; proof < hunt->proofs + hunt->proofs_nr; proof++) {
		if (!lac_value(engine->view.instance, hunt->member->type, lac_offset(hunt, proof->candidate), &value))
			continue;
		half = (u32)(value ^ value >> 32);
		proof->history = (proof->history ^ half) * 0x9e3779b1u + 1;
	}
}

static bool walks_ring(const struct lacuna_member *member)
{
	u32 i;

	for (i = 0; i < member->predicates_nr; i++)
		if (member->predicates[i].kind == LACUNA_RING || member->predicates[i].kind == LACUNA_RING_COUNTS)
			return true;
	return false;
}

/* Only of a process is it known what leads to the page-table root, and what lies behind that. */
static bool needs_process(const struct lac_engine *engine, const struct lac_hunt *hunt)
{
	u32 i;

	if (engine->set->structures[hunt->member->structure].source == LACUNA_SOURCE_POINTER)
		return true;
	for (i = 0; i < hunt->member->predicates_nr; i++)
		if (hunt->member->predicates[i].kind == LACUNA_LEADS_TO_ROOT)
			return true;
	return false;
}

/*
 * A kernel thread that forks once more while nothing more is known than the last times: what that told is told. But what was read
 * then may have been read in a bad moment, so every now and then it is asked all the same.
 */
static bool is_quiet(const struct lac_engine *engine, struct lac_hunt *hunt)
{
	const struct lac_event *event = engine->view.event;

	/* before there are processes it is only seen what the kernel's own tasks have not */
	if (needs_process(engine, hunt) && !engine->user_space && engine->kernel_root && hunt->events >= LAC_KERNEL_EVENTS)
		return hunt->turns++ % LAC_RING_SAMPLE;
	return hunt->quiet >= LAC_QUIET && event->on == LACUNA_ON_FORK && engine->view.space.root == engine->kernel_root &&
	       hunt->quiet_subject == event->subject && hunt->quiet_known == engine->known &&
	       hunt->turns++ % LAC_RING_SAMPLE != LAC_RING_SAMPLE - 1;
}

/* Who has been found is asked on, but not at each event; where only threads tell, not before there are processes. */
static bool is_left_out(const struct lac_engine *engine, struct lac_hunt *hunt)
{
	u8 on = engine->view.event->on;

	if (hunt->contradicted)
		return true;
	if (on == LACUNA_ON_LOOK)
		return hunt->settled;
	if (hunt->settled)
		return hunt->turns++ % (walks_ring(hunt->member) ? LAC_RING_SAMPLE : LAC_SAMPLE);
	if (walks_ring(hunt->member) && !engine->user_space && is_stuck(hunt))
		return true;
	return is_quiet(engine, hunt);
}

/*
 * Do all that are left have the same value here, and have they all shown before that they would fit? What rests on the value tells
 * them apart no more than it has so far.
 */
static bool are_the_same_here(struct lac_engine *engine, const struct lac_hunt *hunt)
{
	u64 value, first = 0;
	u32 i;

	if (hunt->settled || !has_values(hunt) || hunt->alive != hunt->proofs_nr || !is_stuck(hunt))
		return false;
	for (i = 0; i < hunt->proofs_nr; i++) {
		if (!lac_value(engine->view.instance, hunt->member->type, lac_offset(hunt, hunt->proofs[i].candidate), &value))
			return false;
		if (i && value != first)
			return false;
		first = value;
	}
	return true;
}

static void begin_answers(struct lac_engine *engine, const struct lac_hunt *hunt)
{
	struct lac_answers *answers = &engine->answers;
	u32 size = (hunt->to - hunt->from) * (u32)sizeof(u64);

	memset(answers->refuted + hunt->from, 0, size);
	memset(answers->unknown + hunt->from, 0, size);
	memset(answers->fits + hunt->from, 0, size);
	memset(answers->witnessed + hunt->from, 0, size);
	answers->news = false;
}

/* How many fit: @first of them. */
static u32 fitting(const struct lac_engine *engine, const struct lac_hunt *hunt, u32 *first)
{
	const struct lac_answers *answers = &engine->answers;
	u32 word, number = 0;
	u64 fits;

	*first = hunt->number;
	for (word = hunt->from; word < hunt->to; word++) {
		fits = answers->fits[word] & hunt->living[word] & ~answers->refuted[word] & ~answers->unknown[word];
		if (!fits)
			continue;
		if (!number)
			*first = word * LAC_BITS + (u32)__builtin_ctzll(fits);
		number += lac_weight(fits);
	}
	return number;
}

/* Of what the pointers at @offset in the tasks known to be alive lead to, the next behind the instance; ~0: none. */
static u64 next_target(struct lac_engine *engine, s32 offset)
{
	u64 next = ~0ull, pointer;
	u32 i;

	for (i = 0; i < LAC_LIVE_SLOTS; i++) {
		if (!engine->live.slots[i] ||
		    lac_read_word(&engine->view.space, engine->live.slots[i] + (s64)offset, &pointer))
			continue;
		if (pointer > engine->view.instance->at)
			next = min(next, pointer);
	}
	return next;
}

/* The next process behind the instance, of those on the list; 0: it cannot be followed now, so there may be one anywhere. */
static u64 next_on_ring(struct lac_engine *engine)
{
	u8 list = lac_list_of_tasks(engine);
	u32 number = lac_known(engine, list) ? lac_read_ring(engine, lac_known_offset(engine, list)) : 0, i;
	u64 next = number ? ~0ull : 0;

	for (i = 0; i < number; i++)
		if (engine->ring[i] > engine->view.instance->at)
			next = min(next, engine->ring[i]);
	return next;
}

/*
 * Instances lie side by side in memory. What is in the next one is no member of this one, however much alike they are: threads
 * share their mm, and a process that has just forked has its child's code. Read only where it matters: where more than one fits, or
 * where a look shows one at work that never was before: it may be a kernel thread, in which nothing fits but what is in the next one.
 */
static void refute_in_next(struct lac_engine *engine, struct lac_hunt *hunt, u32 first)
{
	struct lac_view *view = &engine->view;
	u32 candidate;

	if (!view->next_read) {
		if (view->next_by == LAC_BY_RING)
			view->next = next_on_ring(engine);
		else if (view->next_by == LAC_BY_EVENTS)
			view->next = lac_live_next(&engine->live, view->instance->at);
		else if (view->next_by != LAC_BY_NOTHING)
			view->next = next_target(engine, view->next_by);
		view->next_read = true;
	}
	if (view->next && view->next - view->instance->at >= (u64)(view->instance->low + (s64)view->instance->size))
		return;
	for (candidate = first; candidate < hunt->number; candidate++)
		if (view->instance->at + (s64)lac_offset(hunt, candidate) + hunt->size > view->next)
			engine->answers.refuted[candidate / LAC_BITS] |= 1ull << candidate % LAC_BITS;
}

static void note_quiet(const struct lac_engine *engine, struct lac_hunt *hunt, bool taught)
{
	u64 subject = engine->view.event->subject;

	if (taught || hunt->quiet_subject != subject || hunt->quiet_known != engine->known)
		hunt->quiet = 0;
	hunt->quiet_subject = subject;
	hunt->quiet_known = engine->known;
	hunt->quiet += !taught && hunt->quiet < LAC_QUIET;
}

/* The lowest candidate that was seen at work in this instance; number: none was. */
static u32 lowest_witnessed(const struct lac_engine *engine, const struct lac_hunt *hunt)
{
	u32 candidate;

	for (candidate = hunt->from * LAC_BITS; candidate < min(hunt->to * LAC_BITS, hunt->number); candidate++)
		if (lac_candidate_lives(hunt, candidate) && is_witnessed(engine, candidate))
			return candidate;
	return hunt->number;
}

/*
 * What a program says of itself whoever started it has chosen: its headers lie in its own memory, and what the kernel keeps of it can be
 * set (PR_SET_MM_MAP). Nor does it help that many agree, since one can start as many as it likes. Process 1 is believed: who makes
 * that one lie has the guest already. So nobody is heard before it has spoken for a candidate, and whatever others say, that
 * one is not struck for it. It may have spoken for several: behind it in memory there may lie a copy of it, whose program is the same.
 * Nothing of that kind lies before it, so the lowest is the one that is kept, and the others' word counts of the rest.
 */
static bool is_heard(struct lac_engine *engine, struct lac_hunt *hunt)
{
	u32 vouched = hunt->vouched, spoken_for;

	if (engine->view.is_first) {
		spoken_for = lowest_witnessed(engine, hunt);
		if (spoken_for != hunt->number && (!lac_candidate_lives(hunt, vouched) || is_refuted(engine, vouched)))
			hunt->vouched = spoken_for;
		return true;
	}
	if (!lac_candidate_lives(hunt, vouched))
		return false;
	engine->answers.refuted[vouched / LAC_BITS] &= ~(1ull << vouched % LAC_BITS);
	return true;
}

/* Where an instance has the same in all candidates, others may not: a thread, and, where they have differed before, any on the ring. */
static bool tells_of_others(const struct lac_engine *engine, const struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	return p->kind == LACUNA_DIFFERS_IN_THREADS ||
	       (p->kind == LACUNA_RING_COUNTS && engine->view.event->on == LACUNA_ON_LOOK && !hunt->tied);
}

static void ask_member(struct lac_engine *engine, u8 index)
{
	struct lac_hunt *hunt = &engine->hunts[index];
	const struct lacuna_member *member = hunt->member;
	bool same = are_the_same_here(engine, hunt), taught = false;
	u32 first, number, i;

	if (hunt->contradicted)
		return;
	begin_answers(engine, hunt);
	for (i = 0; i < member->predicates_nr; i++) {
		const struct lacuna_predicate *p = &member->predicates[i];

		if (p->on & engine->view.event->on && (!same || tells_of_others(engine, hunt, p)))
			lac_ask(engine, hunt, p);
	}
	number = fitting(engine, hunt, &first);
	if (number > 1 || (number && engine->view.next_by == LAC_BY_RING && !lac_candidate_worked(hunt, first))) {
		refute_in_next(engine, hunt, first);
		fitting(engine, hunt, &first);
	}
	if (engine->view.space.exhausted)
		return;
	remember_values(engine, hunt);
	if (hunt->by_programs && !is_heard(engine, hunt))
		first = hunt->number;
	if (first != hunt->number) {
		taught = lac_candidates_strike(hunt, &engine->answers, engine->view.instance->at,
					       engine->view.is_first && engine->view.event->on == LACUNA_ON_LOOK);
		hunt->events++;
		judge(engine, hunt);
	} else if (hunt->settled && is_refuted(engine, hunt->survivor)) {
		hunt->doubts++;
		if (hunt->doubts >= MAX_DOUBTS && 4 * hunt->doubts >= hunt->proofs[0].witnesses)
			contradict(engine, index);
	}
	find_tie(engine, hunt);
	note_quiet(engine, hunt, taught || engine->answers.news);
}

/* A bit for each member of @structure that is to be asked at this event. */
static u32 due_members(struct lac_engine *engine, u8 structure)
{
	u32 due = 0;
	u8 i;

	for (i = 0; i < engine->set->members_nr; i++)
		if (engine->set->members[i].structure == structure && !is_left_out(engine, &engine->hunts[i]))
			due |= 1u << i;
	return due;
}

static void ask_members(struct lac_engine *engine, u32 members)
{
	u8 i;

	for (i = 0; i < engine->set->members_nr; i++)
		if (members & 1u << i)
			ask_member(engine, i);
}

/*
 * An i386 kernel and all its slide lie in the first 512 MiB that it maps from CONFIG_PAGE_OFFSET on (KERNEL_IMAGE_SIZE), so
 * no address of it can be further below its text than that.
 */
#define I386_IMAGE_SIZE 0x20000000ull

static bool start_space(struct lac_engine *engine, u64 cr3, u8 paging, const struct lac_memory *memory)
{
	struct lac_space *space = &engine->view.space;

	lac_space_init(space, memory, cr3, paging);
	memset(engine->tables.gpa, 0, sizeof(engine->tables.gpa));
	memset(engine->tables.large, 0, sizeof(engine->tables.large));
	space->tables = &engine->tables;
	if (space->word == 4 && engine->facts.text > space->kernel_start + I386_IMAGE_SIZE)
		space->kernel_start = engine->facts.text - I386_IMAGE_SIZE;
	return space->word == engine->word;
}

/* Starts on another instance within the same event: nothing computed for the last one holds. */
static void view_instance(struct lac_engine *engine, struct lac_window *instance, struct lac_window *anchor)
{
	struct lac_view *view = &engine->view;

	view->instance = instance;
	view->anchor = anchor;
	view->next = ~0ull;
	view->next_by = LAC_BY_NOTHING;
	view->next_read = false;
	view->ring_read = false;
	view->ring_long = false;
	view->counted = NULL;
	view->code_read = false;
	view->parts_read = false;
	view->echoes_read = false;
	view->extent_read = false;
	view->echoes_nr = 0;
	view->initialising = false;
	view->any_root = false;
	view->told_by_others = false;
	view->is_first = false;
}

static void change_root(struct lac_engine *engine, u64 root)
{
	struct lac_space *space = &engine->view.space;
	u32 reads = space->reads;

	start_space(engine, root, space->paging, space->memory);
	space->reads = reads;
}

/*
 * Enters the address space whose page-table root the structure in the window points to, with the first such pointer in it: others
 * are in what lies behind it. False: there is none.
 */
static bool enter_space_of(struct lac_engine *engine, struct lac_window *window)
{
	struct lac_page page;
	u64 pointer;
	s32 offset;

	for (offset = window->low; offset < window->low + (s32)window->size; offset += window->word) {
		if (!lac_word(window, offset, &pointer) || !lac_points_to_root(engine, pointer) ||
		    lac_translate(&engine->view.space, pointer, &page))
			continue;
		change_root(engine, page.gpa);
		return true;
	}
	return false;
}

/* What @structure's pointer in process 1, the first task behind init_task, leads to; 0: not known, or nothing. */
static u64 pointer_of_first(struct lac_engine *engine, const struct lacuna_structure *structure)
{
	u8 list = lac_list_of_tasks(engine);
	s32 tasks = lac_known(engine, list) ? lac_known_offset(engine, list) : 0;
	u64 node, pointer;

	if (!lac_known(engine, list) || !lac_word(&engine->anchor, tasks, &node) || !lac_is_kernel(&engine->view.space, node) ||
	    node == engine->facts.init_task + (u64)(s64)tasks ||
	    lac_read_word(&engine->view.space, node - (s64)tasks + (s64)lac_known_offset(engine, structure->member), &pointer))
		return 0;
	return pointer;
}

/* A bit for each member of @structure that programs tell of; @unheard: and of which process 1 has not told what is wanted. */
static u32 members_by_programs(const struct lac_engine *engine, u8 structure, bool unheard)
{
	const struct lac_hunt *hunt;
	u32 members = 0;
	u8 i;

	for (i = 0; i < engine->set->members_nr; i++) {
		hunt = &engine->hunts[i];
		if (engine->set->members[i].structure == structure && hunt->by_programs &&
		    (!unheard || (!hunt->settled && !lac_candidate_lives(hunt, hunt->vouched))))
			members |= 1u << i;
	}
	return members;
}

/* What process 1 has to tell is there at once, or not in memory for long. */
static bool is_time_to_hear(struct lac_engine *engine)
{
	return engine->hearings++ < LAC_HEARINGS || !(engine->hearings % LAC_RING_SAMPLE);
}

/* Asks @members of what @pointer in a task leads to, in the address space of the process that it belongs to. */
static void ask_in_its_space(struct lac_engine *engine, const struct lacuna_structure *s, u64 pointer, u32 members, bool first)
{
	struct lac_view *view = &engine->view;
	u64 root = view->space.root;

	if (!members || !lac_window_open(&engine->instance, &view->space, pointer, s->low, s->high))
		return;
	view_instance(engine, &engine->instance, NULL);
	view->any_root = true;
	if (enter_space_of(engine, &engine->instance)) {
		view->any_root = false;
		view->told_by_others = !first;
		view->is_first = first;
		view->next_by = lac_known_offset(engine, s->member);
		ask_members(engine, members);
	}
	change_root(engine, root);
}

/* At a fork the address space in CR3 is that of the current task, so what its pointers lead to can be checked. */
static void follow_pointers(struct lac_engine *engine)
{
	u64 pointers[LACUNA_MAX_STRUCTURES] = { 0 };
	const struct lacuna_structure *s;
	u32 due, unheard;
	u64 first;
	u8 i;

	/* all of them first: what they lead to is looked at where the task has been */
	for (i = 0; i < engine->set->structures_nr; i++) {
		s = &engine->set->structures[i];
		if (s->source == LACUNA_SOURCE_POINTER && lac_known(engine, s->member) &&
		    !lac_word(&engine->instance, lac_known_offset(engine, s->member), &pointers[i]))
			pointers[i] = 0;
	}
	for (i = 0; i < engine->set->structures_nr; i++) {
		s = &engine->set->structures[i];
		due = pointers[i] ? due_members(engine, i) : 0;
		first = due & members_by_programs(engine, i, false) ? pointer_of_first(engine, s) : 0;
		unheard = due & members_by_programs(engine, i, true);
		if (unheard && first && first != pointers[i] && is_time_to_hear(engine))
			ask_in_its_space(engine, s, first, unheard, true);
		if (!due || !lac_window_open(&engine->instance, &engine->view.space, pointers[i], s->low, s->high))
			continue;
		view_instance(engine, &engine->instance, NULL);
		engine->view.next_by = lac_known_offset(engine, s->member);
		engine->view.is_first = first && first == pointers[i];
		ask_members(engine, due);
	}
}

/*
 * Every task, a thread too, has links of a list where processes hang on theirs: dup_task_struct() copies them. What has other things there
 * is no task, or is not what the guest sees there, and says nothing.
 */
static bool may_be_task(struct lac_engine *engine)
{
	u8 list = lac_list_of_tasks(engine);
	u64 next;

	return !lac_known(engine, list) || !lac_word(&engine->instance, lac_known_offset(engine, list), &next) ||
	       (lac_is_kernel(&engine->view.space, next) && !(next % engine->word));
}

static enum lac_used task_event(struct lac_engine *engine, u8 structure)
{
	const struct lacuna_structure *s = &engine->set->structures[structure];
	const struct lac_event *event = engine->view.event;
	struct lac_space *space = &engine->view.space;
	struct lac_page page;

	if (!lac_is_kernel(space, event->subject) || event->subject % engine->word ||
	    lac_translate(space, event->subject, &page))
		return LAC_NO_INSTANCE;
	lac_window_set(&engine->instance, space, event->subject, s->low, s->high);
	lac_window_set(&engine->anchor, space, engine->facts.init_task, s->low, s->high);
	if (!may_be_task(engine))
		return LAC_NO_INSTANCE;
	engine->events++;
	lac_live_add(&engine->live, event->subject);
	/* a kernel thread runs on the kernel's page tables, or on those of the process that ran before it */
	if (event->subject == engine->facts.init_task)
		engine->kernel_root = space->root;
	else if (engine->kernel_root && space->root != engine->kernel_root)
		engine->user_space = true;
	view_instance(engine, &engine->instance, &engine->anchor);
	engine->view.next_by = LAC_BY_EVENTS;
	ask_members(engine, due_members(engine, structure));
	if (event->on == LACUNA_ON_FORK)
		follow_pointers(engine);
	else
		lac_live_remove(&engine->live, event->subject);
	return LAC_USED;
}

/* The task behind @task on the list of processes whose links lie at @tasks; 0: the list is being changed. */
static u64 next_process(struct lac_engine *engine, u64 task, s32 tasks)
{
	struct lac_space *space = &engine->view.space;
	u64 node = task + (s64)tasks, links[2], back[2];

	if (!lac_read_links(space, node, links) || !lac_read_links(space, links[0], back) || back[1] != node)
		return 0;
	return links[0] - (s64)tasks;
}

static u32 members_about_processes(struct lac_engine *engine, u32 due)
{
	u32 members = 0;
	u8 i;

	for (i = 0; i < engine->set->members_nr; i++)
		if (due & 1u << i && needs_process(engine, &engine->hunts[i]))
			members |= 1u << i;
	return members;
}

/*
 * What an event of process @task would tell, but for what CR3 held then. Of its program it is asked only if it is process 1, whose
 * word is enough: who makes that one lie has the guest already, and of others nobody knows what they have made of themselves.
 */
static void look_at_process(struct lac_engine *engine, u64 task, bool first, u8 structure)
{
	const struct lacuna_structure *s = &engine->set->structures[structure];
	struct lac_view *view = &engine->view;
	u64 pointer;
	u8 i;

	lac_window_set(&engine->instance, &view->space, task, s->low, s->high);
	view_instance(engine, &engine->instance, &engine->anchor);
	view->next_by = LAC_BY_RING;
	view->any_root = true;
	view->is_first = first;
	ask_members(engine, members_about_processes(engine, due_members(engine, structure)));
	for (i = 0; i < engine->set->structures_nr; i++) {
		s = &engine->set->structures[i];
		if (s->source == LACUNA_SOURCE_POINTER && lac_known(engine, s->member) &&
		    !lac_read_word(&view->space, task + (s64)lac_known_offset(engine, s->member), &pointer) && pointer)
			ask_in_its_space(engine, s, pointer, due_members(engine, i), first);
	}
}

/*
 * Process 1 is a thread of the kernel, with the name it has from init_task, until it executes a program (kernel_init(),
 * init/main.c). What the kernel starts before, to load its modules, are programs of a moment.
 */
static bool runs_program(struct lac_engine *engine, u64 first)
{
	const struct lacuna_member *list = &engine->set->members[lac_list_of_tasks(engine)];
	u8 theirs[LAC_MAX_TEXT], name, i;
	const u8 *own;
	s32 offset;
	u32 size;

	for (i = 0; i < list->predicates_nr; i++) {
		name = list->predicates[i].member;
		if (list->predicates[i].kind != LACUNA_RING || !lac_known(engine, name))
			continue;
		offset = lac_known_offset(engine, name);
		size = engine->hunts[name].size;
		own = lac_bytes(&engine->anchor, offset, size);
		return own && !lac_read(&engine->view.space, first + (s64)offset, theirs, size) &&
		       strncmp((const char *)own, (const char *)theirs, size);
	}
	return true;
}

/* Process 1, which is the first behind init_task, and some others in turn. */
static void look_at_processes(struct lac_engine *engine, u8 structure)
{
	u8 list = lac_list_of_tasks(engine);
	s32 tasks = lac_known(engine, list) ? lac_known_offset(engine, list) : 0;
	u64 init_task = engine->facts.init_task, first, task;
	u32 passed, looked = 0;

	if (!lac_known(engine, list))
		return;
	first = next_process(engine, init_task, tasks);
	if (!first || first == init_task)
		return;
	if (!engine->user_space && !runs_program(engine, first))
		return;
	engine->user_space = true;
	look_at_process(engine, first, true, structure);
	task = engine->looked ? engine->looked : first;
	for (passed = 0; passed < LAC_LOOKED_TASKS && looked < LAC_LOOKED_PROCESSES; passed++) {
		task = next_process(engine, task, tasks);
		if (!task) /* it has gone: from the start */
			break;
		if (task == init_task || task == first)
			continue;
		look_at_process(engine, task, false, structure);
		looked++;
	}
	engine->looked = task;
}

static enum lac_used look_at_tasks(struct lac_engine *engine, u8 structure)
{
	const struct lacuna_structure *s = &engine->set->structures[structure];
	u32 due;

	if (!lac_window_open(&engine->anchor, &engine->view.space, engine->facts.init_task, s->low, s->high))
		return LAC_NO_INSTANCE;
	view_instance(engine, &engine->anchor, &engine->anchor);
	due = due_members(engine, structure);
	ask_members(engine, due & ~members_about_processes(engine, due));
	look_at_processes(engine, structure);
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

	for (i = 0; i < engine->set->members_nr; i++)
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
	const struct lacuna_structure *s = &engine->set->structures[structure];
	struct lac_space *space = &engine->view.space;
	u64 head = engine->facts.modules, node = head;
	u32 listed;
	u8 i;

	for (listed = 0; listed < LAC_MAX_MODULES; listed++) {
		if (!lac_is_kernel(space, node) || node % engine->word || lac_read_word(space, node, &node) || node == head)
			return;
		if (node == initialised || !lac_window_open(&engine->instance, space, node, s->low, s->high))
			continue;
		view_instance(engine, &engine->instance, NULL);
		for (i = 0; i < engine->set->members_nr; i++)
			if (engine->set->members[i].structure == structure && rests_on(&engine->set->members[i], now_known))
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
	const struct lacuna_structure *s = &engine->set->structures[structure];
	u64 node = engine->facts.modules ? next_listed(engine, initialising) : 0;

	if (!node || !lac_window_open(&engine->instance, &engine->view.space, node, s->low, s->high))
		return LAC_NO_INSTANCE;
	view_instance(engine, &engine->instance, NULL);
	ask_members(engine, due_members(engine, structure));
	return LAC_USED;
}

/*
 * The module whose init function is about to run keeps a pointer to it; new modules are put first on the list. What a module is once
 * it has been initialised is asked of another.
 */
static enum lac_used module_event(struct lac_engine *engine, u8 structure)
{
	u32 known = known_members(engine);
	const struct lacuna_structure *s = &engine->set->structures[structure];
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
		view_instance(engine, &engine->instance, NULL);
		engine->view.initialising = true;
		ask_members(engine, due_members(engine, structure));
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
	switch (engine->set->structures[structure].source) {
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

enum lac_used lac_engine_event(struct lac_engine *engine, const struct lac_event *event,
			       const struct lac_memory *memory)
{
	u8 source = event->on == LACUNA_ON_INITCALL ? LACUNA_SOURCE_MODULE : LACUNA_SOURCE_TASK;
	enum lac_used used = LAC_NO_INSTANCE, one;
	u8 i;

	engine->view.event = event;
	if (!start_space(engine, event->cr3, event->paging, memory))
		return LAC_NO_INSTANCE;
	for (i = 0; i < engine->set->structures_nr; i++) {
		engine->view.bases_read = false;
		if (event->on == LACUNA_ON_LOOK)
			one = look(engine, i);
		else if (engine->set->structures[i].source != source)
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
	const struct lacuna_constraints *set = engine->set;

	return !engine->facts.modules && set->structures[set->members[index].structure].source == LACUNA_SOURCE_MODULE;
}

bool lac_engine_settled(const struct lac_engine *engine, bool modules)
{
	const struct lacuna_constraints *set = engine->set;
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

bool lac_engine_wants_exits(const struct lac_engine *engine)
{
	const struct lac_hunt *hunt;
	u32 i, j;

	for (i = 0; i < engine->set->members_nr; i++) {
		hunt = &engine->hunts[i];
		/* of what is tied a look may tell as well */
		if (hunt->settled || hunt->contradicted || (hunt->tied && is_looked_for(hunt->member)) ||
		    engine->set->structures[hunt->member->structure].source != LACUNA_SOURCE_TASK)
			continue;
		for (j = 0; j < hunt->member->predicates_nr; j++)
			if (hunt->member->predicates[j].on & LACUNA_ON_EXIT)
				return true;
	}
	return false;
}

bool lac_engine_wants_looks(const struct lac_engine *engine)
{
	u32 i;

	if (!engine->kernel_root)
		return false;
	for (i = 0; i < engine->set->members_nr; i++) {
		const struct lac_hunt *hunt = &engine->hunts[i];

		if (hunt->settled || hunt->contradicted || !is_looked_for(hunt->member) || is_of_nothing(engine, i))
			continue;
		/* modules, processes and their threads stay where they are, and processes are found by their list */
		if (engine->set->structures[hunt->member->structure].source == LACUNA_SOURCE_MODULE || hunt->tied ||
		    hunt->survivor != hunt->number || lac_known(engine, lac_list_of_tasks(engine)))
			return true;
	}
	return false;
}

bool lac_engine_waits_for_user_space(const struct lac_engine *engine)
{
	const struct lacuna_constraints *set = engine->set;
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
	return engine->set->members_nr;
}

void lac_engine_report(const struct lac_engine *engine, u32 member, struct lacuna_member_report *report)
{
	const struct lac_hunt *hunt = &engine->hunts[member];
	u32 i, candidate, left = 0, best = 0, instances = 0;
	u64 bits;

	memset(report, 0, sizeof(*report));
	if (is_of_nothing(engine, member)) {
		report->state = LACUNA_ABSENT;
		return;
	}
	for (i = hunt->from; i < hunt->to; i++) {
		for (bits = hunt->living[i]; bits && left < LACUNA_LISTED_CANDIDATES; bits &= bits - 1) {
			candidate = i * LAC_BITS + (u32)__builtin_ctzll(bits);
			/* as with a survivor, what was never seen at work is out */
			if (!hunt->tied || lac_candidate_worked(hunt, candidate))
				report->candidates[left++] = lac_offset(hunt, candidate);
		}
	}
	left = hunt->tied ? hunt->proofs_nr : hunt->alive;
	for (i = 0; i < hunt->proofs_nr; i++) {
		if (hunt->proofs[i].witnesses > best)
			best = hunt->proofs[i].witnesses;
		instances = max(instances, lac_instances_of(&hunt->proofs[i]));
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

/* ---- memory: one piece of it, laid out twice, the first time only to know how much it is ---- */

struct layout {
	u8 *block; /* NULL: the first time */
	size_t used;
};

static void *carve(struct layout *layout, size_t size)
{
	u8 *piece = layout->block ? layout->block + layout->used : NULL;

	layout->used += (size + 7) & ~(size_t)7;
	return piece;
}

static void carve_window(struct layout *layout, struct lac_window *window, u32 capacity)
{
	u8 *bytes = carve(layout, capacity);

	if (window) {
		window->bytes = bytes;
		window->capacity = capacity;
	}
}

static u32 largest_window(const struct lacuna_constraints *set)
{
	u32 largest = 0, i;

	for (i = 0; i < set->structures_nr; i++)
		largest = max(largest, (u32)(set->structures[i].high - set->structures[i].low));
	return largest;
}

static struct lac_engine *lay_out(const struct lacuna_constraints *set, struct layout *layout)
{
	size_t set_size = offsetof(struct lacuna_constraints, members) + set->members_nr * sizeof(set->members[0]);
	struct lac_engine *engine = carve(layout, sizeof(*engine));
	struct lacuna_constraints *copy = carve(layout, set_size);
	struct lac_hunt *hunts = carve(layout, set->members_nr * sizeof(*hunts));
	u64 *bitmaps;
	u32 i;

	if (engine) {
		memcpy(copy, set, set_size);
		engine->set = copy;
		engine->hunts = hunts;
	}
	carve_window(layout, engine ? &engine->instance : NULL, largest_window(set));
	carve_window(layout, engine ? &engine->anchor : NULL, largest_window(set));
	carve_window(layout, engine ? &engine->row : NULL, LAC_PAGE_SIZE);
	for (i = 0; i < set->members_nr; i++) {
		bitmaps = carve(layout, lac_bitmaps_size(&set->members[i], &set->structures[set->members[i].structure]));
		if (!engine)
			continue;
		hunts[i].member = &copy->members[i];
		hunts[i].living = bitmaps;
	}
	return engine;
}

size_t lac_engine_size(const struct lacuna_constraints *set)
{
	struct layout layout = { .block = NULL };

	lay_out(set, &layout);
	return layout.used;
}

struct lac_engine *lac_engine_create(const struct lacuna_constraints *set)
{
	struct layout layout = { .block = lac_alloc(lac_engine_size(set)) };

	return layout.block ? lay_out(set, &layout) : NULL;
}

void lac_engine_destroy(struct lac_engine *engine)
{
	lac_free(engine);
}

void lac_engine_start(struct lac_engine *engine, const struct lac_facts *facts)
{
	struct lac_hunt *hunt;
	u32 i;

	engine->facts = *facts;
	engine->word = facts->text >> 32 ? 8 : 4;
	engine->user_space = false;
	engine->known = 0;
	engine->kernel_root = 0;
	engine->hearings = 0;
	engine->echo = 0;
	engine->looked = 0;
	engine->listed = 0;
	engine->events = 0;
	memset(&engine->search, 0, sizeof(engine->search));
	memset(&engine->live, 0, sizeof(engine->live));
	for (i = 0; i < engine->set->members_nr; i++) {
		hunt = &engine->hunts[i];
		lac_candidates_start(hunt, &engine->set->structures[hunt->member->structure], engine->word, hunt->living);
	}
}
