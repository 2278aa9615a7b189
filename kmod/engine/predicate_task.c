// SPDX-License-Identifier: GPL-2.0-only
/* What can be asked of a task. constraints/README.md says what each predicate rests on. */
#include "predicate.h"

/* A task may call itself what it likes (PR_SET_NAME): of one that is not named in text nothing is said. */
enum lac_outcome lac_text(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	const u8 *bytes = lac_bytes(engine->view.instance, offset, hunt->size);

	if (!bytes)
		return LAC_UNKNOWN;
	if (lac_is_text(bytes, hunt->size))
		return LAC_FITS;
	return memchr(bytes, 0, hunt->size) ? LAC_SILENT : LAC_REFUTED;
}

#define CANNOT_TELL ~0u

/*
 * Follows the ring through the anchor at @offset and keeps its instances in engine->ring. 0: not a ring; CANNOT_TELL: it is longer
 * than is followed, or goes wrong only behind some that were right, as it does where another vCPU is just changing it. A ring of
 * one is what a list head that is not in use looks like.
 */
static u32 walk_ring(struct lac_engine *engine, s32 offset)
{
	struct lac_space *space = &engine->view.space;
	u64 first = engine->facts.init_task + (s64)offset, node = first, previous, links[2];
	u32 number = 0;

	/* the first node is in the anchor, which has been read */
	if (!lac_word(engine->view.anchor, offset, &links[0]) ||
	    !lac_word(engine->view.anchor, offset + engine->word, &links[1]) ||
	    !lac_is_kernel(space, links[0]) || !lac_is_kernel(space, links[1]))
		return 0;
	do {
		if (number == LAC_MAX_RING)
			return CANNOT_TELL;
		engine->ring[number++] = node - (s64)offset;
		previous = node;
		node = links[0];
		if (!lac_read_links(space, node, links) || links[1] != previous)
			return number < LAC_MIN_RING ? 0 : CANNOT_TELL;
	} while (node != first);
	return number;
}

/*
 * All nodes must be in tasks with a name: a ring that runs through a list head outside of a task has one instance that is
 * none. Of the tasks known to be alive at least half must be on it: threads other than the leader are not. But a task may
 * call itself anything, and most tasks may be threads: such a ring is not seen at work, and not refuted either.
 */
enum lac_outcome lac_ring(struct lac_engine *engine, const struct lac_hunt *hunt, const struct lacuna_predicate *p,
			  s32 offset)
{
	u32 size = engine->hunts[p->member].size, number, known = 0, i;
	s32 text_offset;

	if (!lac_known(engine, p->member))
		return LAC_SILENT;
	text_offset = lac_known_offset(engine, p->member);
	engine->view.ring_read = false;
	number = walk_ring(engine, offset);
	if (!number)
		return LAC_REFUTED;
	if (number < LAC_MIN_RING || number == CANNOT_TELL)
		return LAC_SILENT;
	for (i = 0; i < number; i++) {
		if (lac_read(&engine->view.space, engine->ring[i] + (s64)text_offset, engine->page, size) ||
		    !lac_is_text(engine->page, size))
			return LAC_SILENT;
		known += lac_live_has(&engine->live, engine->ring[i]);
	}
	if (hunt->settled) { /* what rests on it need not follow it again */
		engine->view.ring_nr = number;
		engine->view.ring_read = true;
	}
	return 2 * known >= engine->live.used ? LAC_FITS : LAC_SILENT;
}

static bool value_is_new(struct lac_engine *engine, u32 value)
{
	u64 entry = (u64)engine->values_number << 32 | value;
	u32 slot = value * 0x9e3779b1u % ARRAY_SIZE(engine->values);

	while (engine->values[slot] >> 32 == engine->values_number) {
		if (engine->values[slot] == entry)
			return false;
		slot = (slot + 1) % ARRAY_SIZE(engine->values);
	}
	engine->values[slot] = entry;
	return true;
}

/* What earlier sets have left is told by their numbers; cleared once in 2^32 times, when the numbers begin again. */
static void empty_values(struct lac_engine *engine)
{
	if (++engine->values_number)
		return;
	memset(engine->values, 0, sizeof(engine->values));
	engine->values_number = 1;
}

/* Is the ring still the one in engine->ring? */
static bool ring_is_same(struct lac_engine *engine, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 links[2];
	u32 i;

	for (i = 0; i < view->ring_nr; i++)
		if (!lac_read_links(&view->space, engine->ring[i] + (s64)offset, links) ||
		    links[0] != engine->ring[(i + 1) % view->ring_nr] + (s64)offset)
			return false;
	return true;
}

static bool is_on_ring(const struct lac_engine *engine, u64 task)
{
	u32 i;

	for (i = 0; i < engine->view.ring_nr; i++)
		if (engine->ring[i] == task)
			return true;
	return false;
}

/* The instances on the ring of the known list @member, in engine->ring: how many, 0: it could not be followed. */
static u32 read_ring(struct lac_engine *engine, u8 member)
{
	struct lac_view *view = &engine->view;

	if (!view->ring_read) {
		view->ring_nr = walk_ring(engine, lac_known_offset(engine, member));
		if (view->ring_nr == CANNOT_TELL)
			view->ring_nr = 0;
		view->ring_read = true;
	}
	return view->ring_nr;
}

/*
 * The list of tasks starts with init_task (0), process 1 and kthreadd (2) in this order: rest_init() makes sure of the
 * numbers (2.6.23 and later), and neither ever exits.
 */
enum lac_outcome lac_ring_counts(struct lac_engine *engine, const struct lac_hunt *hunt,
				 const struct lacuna_predicate *p, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 value;
	u32 i;

	if (!lac_known(engine, p->member))
		return LAC_SILENT;
	if (read_ring(engine, p->member) < LAC_MIN_RING)
		return LAC_UNKNOWN;
	/* most are none of it: process 1 is read once for all of them */
	if (hunt->alive > LAC_MAX_COSTLY) {
		if (engine->target.at != engine->ring[1])
			lac_window_open(&engine->target, &view->space, engine->ring[1], view->anchor->low,
					view->anchor->low + (s32)view->anchor->size);
		if (lac_int(&engine->target, offset, &value) && value != 1)
			return LAC_REFUTED;
	}
	empty_values(engine);
	for (i = 0; i < view->ring_nr; i++) {
		if (lac_read(&view->space, engine->ring[i] + (s64)offset, &value, sizeof(value)) || value < 0)
			return LAC_REFUTED;
		if (i < LAC_MIN_RING && value != (s32)i)
			return LAC_REFUTED;
		/* it may be a task that has gone since the ring was walked */
		if (!value_is_new(engine, (u32)value))
			return ring_is_same(engine, lac_known_offset(engine, p->member)) ? LAC_REFUTED : LAC_UNKNOWN;
	}
	/* a thread is not on the ring: it has a number that nobody on the ring has */
	if (is_on_ring(engine, view->instance->at) || !lac_int(view->instance, offset, &value) || !value)
		return LAC_FITS;
	return value_is_new(engine, (u32)value) ? LAC_FITS : LAC_REFUTED;
}

static void keep_thread(struct lac_engine *engine, u64 leader, u64 thread)
{
	struct lac_view *view = &engine->view;

	if (view->threads_nr == LAC_MAX_THREADS)
		return;
	engine->threads[view->threads_nr].leader = leader;
	engine->threads[view->threads_nr].thread = thread;
	view->threads_nr++;
}

/*
 * Does a list at @offset of @leader, a process on the ring, lead to another thread of it? That has the same @mm and is not on the
 * ring of processes. What only looks so is not struck for: it would have to hold the number of this very process.
 */
static bool find_thread(struct lac_engine *engine, u64 leader, s32 offset, u64 next, u64 mm, s32 mm_offset)
{
	struct lac_space *space = &engine->view.space;
	u64 node = leader + (s64)offset, thread = next - (s64)offset, links[2], other;

	if (next == node || next % space->word || !lac_is_kernel(space, next) || !lac_read_links(space, next, links) ||
	    links[1] != node)
		return false;
	if (lac_read_word(space, thread + (s64)mm_offset, &other) || other != mm || is_on_ring(engine, thread))
		return false;
	keep_thread(engine, leader, thread);
	return true;
}

/*
 * Every thread of a process hangs on a list behind its leader: thread_group up to 6.6, and since 3.14 thread_node, whose head in
 * signal_struct lies before the leader. Where the list is, the first thread that is found tells. False: a kernel thread.
 */
static bool search_process(struct lac_engine *engine, u64 leader, s32 mm_offset)
{
	struct lac_window *like = engine->view.instance;
	struct lac_window *w = &engine->target;
	u64 mm, next;
	s32 offset;

	if (lac_read_word(&engine->view.space, leader + (s64)mm_offset, &mm) || !mm)
		return false;
	if (engine->thread_link >= 0) {
		if (!lac_read_word(&engine->view.space, leader + (s64)engine->thread_link, &next))
			find_thread(engine, leader, engine->thread_link, next, mm, mm_offset);
		return true;
	}
	if (!lac_window_open(w, &engine->view.space, leader, like->low, like->low + (s32)like->size))
		return true;
	for (offset = w->low; offset < w->low + (s32)w->size; offset += w->word) {
		if (!lac_word(w, offset, &next) || !lac_is_kernel(&engine->view.space, next))
			continue;
		if (find_thread(engine, leader, offset, next, mm, mm_offset)) {
			engine->thread_link = offset;
			break;
		}
	}
	return true;
}

/* Some processes at each event, in turn; all of them once it is known where threads hang. */
static void find_threads(struct lac_engine *engine, s32 mm_offset)
{
	struct lac_view *view = &engine->view;
	bool all = engine->thread_link >= 0;
	u32 searched = 0, i;

	view->threads_read = true;
	view->threads_nr = 0;
	for (i = 0; i < view->ring_nr && (all || searched < LAC_SEARCHED); i++)
		searched += search_process(engine, engine->ring[engine->next_searched++ % view->ring_nr], mm_offset);
	/* where none hangs any more it was perhaps something else that hung there */
	if (all && !view->threads_nr)
		engine->thread_link = -1;
}

/*
 * A thread has a number of its own and shares that of its group with its leader. The ring is the one that was read for
 * ring-counts: without it nobody is known to be a process.
 */
enum lac_outcome lac_differs_in_threads(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 of_leader, of_thread;
	bool any = false;
	u32 i;

	if (!lac_known(engine, p->member) || !view->ring_read || view->ring_nr < LAC_MIN_RING)
		return LAC_SILENT;
	if (!view->threads_read)
		find_threads(engine, lac_known_offset(engine, p->member));
	for (i = 0; i < view->threads_nr; i++) {
		if (lac_read(&view->space, engine->threads[i].leader + (s64)offset, &of_leader, sizeof(of_leader)) ||
		    lac_read(&view->space, engine->threads[i].thread + (s64)offset, &of_thread, sizeof(of_thread)))
			continue;
		if (of_leader == of_thread)
			return LAC_REFUTED;
		any = true;
	}
	return any ? LAC_FITS : LAC_SILENT;
}

enum lac_outcome lac_unique(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 mine, other;
	u32 i;

	if (hunt->alive > LAC_MAX_COSTLY)
		return LAC_SILENT;
	if (!lac_int(view->instance, offset, &mine))
		return LAC_UNKNOWN;
	for (i = 0; i < LAC_LIVE_SLOTS; i++) {
		u64 task = engine->live.slots[i];

		if (!task || task == view->instance->at)
			continue;
		if (!lac_read(&view->space, task + (s64)offset, &other, sizeof(other)) && other == mine)
			return LAC_REFUTED;
	}
	return LAC_FITS;
}

static bool is_id(const struct lac_view *view, s32 value)
{
	u32 i;

	for (i = 0; i < view->ids_nr; i++)
		if (view->ids[i] == value)
			return true;
	return false;
}

static bool is_value_of_candidate(const struct lac_hunt *hunt, struct lac_window *w, s32 number)
{
	s32 value;
	u32 i;

	for (i = 0; i < hunt->alive; i++)
		if (lac_int(w, lac_offset(hunt, hunt->living[i]), &value) && value == number)
			return true;
	return false;
}

static void read_ids(struct lac_engine *engine, const struct lac_hunt *hunt)
{
	struct lac_view *view = &engine->view;
	struct lac_window *w = view->instance;
	u64 pointer;
	s32 offset, value;
	u16 *told;

	view->ids_for = hunt;
	view->ids_nr = 0;
	for (offset = w->low; offset < w->low + (s32)w->size && view->ids_nr < LAC_MAX_IDS; offset += w->word) {
		if (!lac_word(w, offset, &pointer) || pointer % 4 || !lac_is_user(&view->space, pointer) ||
		    lac_read(&view->space, pointer, &value, sizeof(value)) || value < LAC_MIN_ID ||
		    !is_value_of_candidate(hunt, w, value))
			continue;
		told = &engine->told[(u32)(offset - w->low) / 4];
		if (*told < 0xffff)
			++*told;
		engine->told_most = max(engine->told_most, *told);
		/* the task's own pointer does so again and again, one that does by chance or is the next task's does not */
		if (2 * *told >= engine->told_most)
			view->ids[view->ids_nr++] = value;
	}
}

/*
 * C libraries have the kernel write a thread's number into the thread's own memory (CLONE_CHILD_SETTID) or write it there
 * themselves, and tell the kernel the place with CLONE_CHILD_CLEARTID or set_tid_address(2), which a task keeps as long as
 * it lives. When one of the candidates is what stands there, the others are not the number user space knows. When none is,
 * as in a pid namespace or in a thread whose library keeps no number, nothing can be said.
 */
enum lac_outcome lac_thread_id(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 mine;

	if (hunt->alive > LAC_MAX_COSTLY)
		return LAC_SILENT;
	if (!lac_int(view->instance, offset, &mine))
		return LAC_UNKNOWN;
	if (view->ids_for != hunt)
		read_ids(engine, hunt);
	return view->ids_nr ? fits_if(is_id(view, mine)) : LAC_SILENT;
}

static bool holds_root(struct lac_engine *engine, u64 from, u32 size)
{
	u32 part, i, word = engine->word;
	u64 to = from + size, pointer;

	for (; from < to; from += part) {
		part = min((u32)(to - from), LAC_PAGE_SIZE - (u32)(from % LAC_PAGE_SIZE));
		if (lac_read(&engine->view.space, from, engine->page, part))
			continue;
		for (i = 0; i + word <= part; i += word) {
			pointer = 0;
			memcpy(&pointer, engine->page + i, word); /* little-endian, as all x86 */
			if (lac_points_to_root(&engine->view, pointer))
				return true;
		}
	}
	return false;
}

/*
 * Of a user process. A kernel thread has no address space of its own and runs on the kernel's or on a borrowed one: on the
 * kernel's nothing can be said, since what is near may well lead to init_mm.
 */
enum lac_outcome lac_leads_to_root(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	u64 pointer;

	if (!lac_word(engine->view.instance, offset, &pointer))
		return LAC_UNKNOWN;
	if (!pointer || engine->view.space.root == engine->kernel_root)
		return LAC_SILENT;
	return fits_if(!(pointer % engine->word) && lac_is_kernel(&engine->view.space, pointer) &&
		       holds_root(engine, pointer, (u32)p->arg[0]));
}

enum lac_outcome lac_null_at_times(struct lac_engine *engine, struct lac_hunt *hunt, s32 offset)
{
	u8 *seen = &hunt->nulls[(u32)(offset - hunt->low) / hunt->align];
	u64 pointer;

	if (!lac_word(engine->view.instance, offset, &pointer))
		return LAC_UNKNOWN;
	*seen |= !pointer;
	return *seen ? LAC_SILENT : LAC_UNKNOWN;
}
