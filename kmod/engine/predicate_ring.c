// SPDX-License-Identifier: GPL-2.0-only
/* What can be asked of all tasks on the list of processes. constraints/README.md says what each predicate rests on. */
#include "predicate.h"

#define CANNOT_TELL ~0u

/* The part of @task from @low to @high in engine->row; what lies further apart than a row holds is read on its own. */
static void set_row(struct lac_engine *engine, u64 task, s32 low, s32 high)
{
	lac_window_set(&engine->row, &engine->view.space, task, low, high);
}

/* @size bytes at @offset of the task that engine->row is of. */
static bool read_of(struct lac_engine *engine, s32 offset, void *to, u32 size)
{
	const u8 *bytes = lac_bytes(&engine->row, offset, size);

	if (!bytes)
		return !lac_read(&engine->view.space, engine->row.at + (s64)offset, to, size);
	memcpy(to, bytes, size);
	return true;
}

/* The list node at @offset of the task that engine->row is of. */
static bool row_links(struct lac_engine *engine, s32 offset, u64 links[2])
{
	return lac_word(&engine->row, offset, &links[0]) && lac_word(&engine->row, offset + engine->word, &links[1]);
}

static bool is_node(const struct lac_space *space, u64 node)
{
	return !(node % space->word) && lac_is_kernel(space, node);
}

static bool anchor_links(struct lac_engine *engine, s32 offset, u64 links[2])
{
	struct lac_window *anchor = engine->view.anchor;
	const struct lac_space *space = &engine->view.space;

	return lac_word(anchor, offset, &links[0]) && lac_word(anchor, offset + engine->word, &links[1]) &&
	       is_node(space, links[0]) && is_node(space, links[1]);
}

/* A part of a task that holds the list node at @list and reaches as far towards @low and @high as one row can. */
struct span {
	s32 low, high;
};

static void widen(struct span *span, s32 low, s32 high)
{
	low = min(low, span->low);
	high = max(high, span->high);
	if (high - low > LAC_ROW)
		return;
	span->low = low;
	span->high = high;
}

/*
 * Follows the ring through the anchor at @offset and keeps its instances in engine->ring; of a long one only the first, which have been
 * on it for longest. 0: not a ring; CANNOT_TELL: it goes wrong only behind some that were right, as it does where another vCPU is just
 * changing it, or one of the instances is not named at @name, if it is wanted. A ring of one is what a list head that is not in use
 * looks like.
 */
static u32 walk_ring(struct lac_engine *engine, s32 offset, const struct lac_hunt *name, s32 name_offset)
{
	u64 first = engine->facts.init_task + (s64)offset, node = first, previous, links[2];
	struct span span = { offset, offset + 2 * engine->word };
	u8 text[LAC_MAX_TEXT];
	u32 number = 0;

	engine->view.ring_long = false;
	/* the first node is in the anchor, which has been read */
	if (!anchor_links(engine, offset, links))
		return 0;
	if (links[0] == first)
		return links[1] == first;
	if (name)
		widen(&span, name_offset, name_offset + name->size);
	do {
		if (number == LAC_MAX_RING) {
			engine->view.ring_long = true;
			return number;
		}
		engine->ring[number++] = node - (s64)offset;
		previous = node;
		node = links[0];
		if (!is_node(&engine->view.space, node))
			return number < LAC_MIN_RING ? 0 : CANNOT_TELL;
		set_row(engine, node - (s64)offset, span.low, span.high);
		if (!row_links(engine, offset, links) || links[1] != previous)
			return number < LAC_MIN_RING ? 0 : CANNOT_TELL;
		/* of a ring of fewer nothing is said anyhow */
		if (name && number >= LAC_MIN_RING &&
		    (!read_of(engine, name_offset, text, name->size) || !lac_is_text(text, name->size)))
			return CANNOT_TELL;
	} while (node != first);
	return number;
}

static bool is_named(struct lac_engine *engine, u64 task, const struct lac_hunt *name, s32 offset)
{
	u8 text[LAC_MAX_TEXT];

	return !lac_read(&engine->view.space, task + (s64)offset, text, name->size) && lac_is_text(text, name->size);
}

static void note_ring(struct lac_engine *engine, u32 number)
{
	u32 i, slot;

	engine->view.ring_nr = number;
	engine->view.ring_read = true;
	memset(engine->on_ring, 0, sizeof(engine->on_ring));
	for (i = 0; i < number; i++) {
		slot = lac_live_slot(&engine->live, engine->ring[i]);
		if (engine->live.slots[slot])
			engine->on_ring[slot / LAC_BITS] |= 1ull << slot % LAC_BITS;
	}
}

/* Is @task on the list at @offset? A thread other than the leader is not: its links are a copy of those that its parent had once. */
static bool is_linked(struct lac_engine *engine, u64 task, s32 offset)
{
	u64 node = task + (s64)offset, links[2], next[2], previous[2];
	struct lac_space *space = &engine->view.space;

	return lac_read_links(space, node, links) && lac_read_links(space, links[0], next) &&
	       lac_read_links(space, links[1], previous) && next[1] == node && previous[0] == node;
}

/*
 * Of a ring that is not followed to its end: a head outside of any task would be next to the anchor, which has been on the list for
 * longest, so that what lies there must be a task; and who is known to be alive may be further on.
 */
static u32 known_on_long_ring(struct lac_engine *engine, s32 offset, const struct lac_hunt *name, s32 name_offset)
{
	u64 links[2];
	u32 known = 0, i;

	if (!anchor_links(engine, offset, links) || !is_named(engine, links[1] - (s64)offset, name, name_offset))
		return 0;
	for (i = 0; i < LAC_LIVE_SLOTS; i++)
		known += engine->live.slots[i] && is_linked(engine, engine->live.slots[i], offset);
	return known;
}

/*
 * All nodes must be in tasks with a name: a ring that runs through a list head outside of a task has one instance that is
 * none. Of the tasks known to be alive at least half must be on it: threads other than the leader are not. But a task may
 * call itself anything, and most tasks may be threads: such a ring is not seen at work, and not refuted either.
 */
static enum lac_outcome ring(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
			     u32 candidate, const u8 *bytes)
{
	const struct lac_hunt *name = &engine->hunts[p->member];
	s32 offset = lac_offset(hunt, candidate), name_offset = lac_known_offset(engine, p->member);
	u32 number, known = 0, i;

	/* most are no two pointers */
	if (!is_node(&engine->view.space, lac_load_word(engine, bytes)))
		return LAC_REFUTED;
	engine->view.ring_read = false;
	number = walk_ring(engine, offset, name, name_offset);
	if (!number)
		return LAC_REFUTED;
	if (number < LAC_MIN_RING || number == CANNOT_TELL)
		return LAC_SILENT;
	for (i = 1; i < LAC_MIN_RING; i++) /* which were passed by */
		if (!is_named(engine, engine->ring[i], name, name_offset))
			return LAC_SILENT;
	for (i = 0; i < number && !engine->view.ring_long; i++)
		known += lac_live_has(&engine->live, engine->ring[i]);
	if (engine->view.ring_long)
		known = known_on_long_ring(engine, offset, name, name_offset);
	if (2 * known < engine->live.used)
		return LAC_SILENT;
	if (lac_absent(engine->view.instance, offset, hunt->size))
		return LAC_REFUTED;
	if (hunt->settled) /* what rests on it need not follow it again */
		note_ring(engine, number);
	return LAC_FITS;
}

void lac_ring(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	if (lac_known(engine, p->member))
		lac_ask_each(engine, hunt, p, engine->view.anchor, ring, LAC_REFUTED);
}

u32 lac_read_ring(struct lac_engine *engine, s32 offset)
{
	struct lac_view *view = &engine->view;
	u32 number;

	if (!view->ring_read) {
		number = walk_ring(engine, offset, NULL, 0);
		note_ring(engine, number == CANNOT_TELL ? 0 : number);
	}
	return view->ring_nr;
}

/* Is the ring still the one in engine->ring? */
static bool ring_is_same(struct lac_engine *engine, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 links[2];
	u32 i;

	for (i = 0; i + view->ring_long < view->ring_nr; i++)
		if (!lac_read_links(&view->space, engine->ring[i] + (s64)offset, links) ||
		    links[0] != engine->ring[(i + 1) % view->ring_nr] + (s64)offset)
			return false;
	return true;
}

static bool is_on_ring(struct lac_engine *engine, u64 task, s32 offset)
{
	u32 i;

	for (i = 0; i < engine->view.ring_nr; i++)
		if (engine->ring[i] == task)
			return true;
	return engine->view.ring_long && is_linked(engine, task, offset);
}

/* One of the candidates that are compared in one walk along the ring. */
struct counted {
	u32 candidate;
	s32 offset, most;
	u32 digest; /* of the values it has had so far */
	bool refuted, twice;
};

/* Has one of the first @number on the ring @value at @offset? */
static bool is_taken(struct lac_engine *engine, u32 number, s32 offset, s32 value)
{
	s32 other;
	u32 i;

	for (i = 0; i < number; i++)
		if (!lac_read(&engine->view.space, engine->ring[i] + (s64)offset, &other, sizeof(other)) &&
		    other == value)
			return true;
	return false;
}

/*
 * Numbers are given in ascending order, and new processes are put last: hardly any need be compared with the ones before, and
 * of those that must only the ones whose bit is set already.
 */
static bool is_new(struct lac_engine *engine, struct counted *c, u32 slot, u32 number, s32 value)
{
	u32 bit = (((u32)value + slot * 0x85ebca6bu) * 0x9e3779b1u) / (1u << 17);
	u64 *word = &engine->values[bit / LAC_BITS], mask = 1ull << bit % LAC_BITS;
	bool met = *word & mask;

	*word |= mask;
	if (value > c->most) {
		c->most = value;
		return true;
	}
	return !met || !is_taken(engine, number, c->offset, value);
}

/* The list of tasks starts with init_task (0), process 1 and kthreadd (2) in this order. */
static void count(struct lac_engine *engine, struct counted *c, u32 slot, u32 number, bool read, s32 value)
{
	c->digest = (c->digest ^ (u32)value) * 0x9e3779b1u + 1;
	if (!read || value < 0 || (number < LAC_MIN_RING && value != (s32)number))
		c->refuted = true;
	else if (!is_new(engine, c, slot, number, value))
		c->twice = true;
}

static u32 next_counted(const struct lac_engine *engine, const struct lac_hunt *hunt, struct counted *counted, u32 from,
			u32 *number)
{
	for (*number = 0; *number < LAC_COUNTED; from++) {
		from = lac_next_asked(engine, hunt, from);
		if (from >= hunt->number)
			break;
		counted[(*number)++] = (struct counted){
			.candidate = from, .offset = lac_offset(hunt, from), .most = -1
		};
	}
	return from;
}

/* Walks along the ring of the list at @list once and looks at the values of @number candidates. False: it could not be followed. */
static bool count_along(struct lac_engine *engine, s32 list, struct counted *counted, u32 number)
{
	u64 first = engine->facts.init_task + (s64)list, node = first, previous, links[2];
	struct span span = { list, list + 2 * engine->word };
	u32 met = 0, i;
	bool read;
	s32 value = 0;

	if (!anchor_links(engine, list, links))
		return false;
	for (i = 0; i < number; i++)
		widen(&span, counted[i].offset, counted[i].offset + (s32)sizeof(value));
	memset(engine->values, 0, sizeof(engine->values));
	engine->view.ring_read = false;
	engine->view.ring_long = false;
	for (i = 0; i < number; i++) {
		read = lac_int(engine->view.anchor, counted[i].offset, &value);
		count(engine, &counted[i], i, 0, read, value);
	}
	do {
		engine->view.ring_long = met == LAC_MAX_RING;
		if (engine->view.ring_long)
			break;
		engine->ring[met++] = node - (s64)list;
		previous = node;
		node = links[0];
		if (!is_node(&engine->view.space, node))
			return false;
		set_row(engine, node - (s64)list, span.low, span.high);
		if (!row_links(engine, list, links) || links[1] != previous)
			return false;
		for (i = 0; i < number && node != first; i++) {
			if (counted[i].refuted || counted[i].twice)
				continue;
			read = read_of(engine, counted[i].offset, &value, sizeof(value));
			count(engine, &counted[i], i, met, read, value);
		}
	} while (node != first);
	note_ring(engine, met);
	return true;
}

/* Are there any of @those? Then all others are refuted. */
static bool refute_but(struct counted *counted, u32 number, const bool *those)
{
	bool any = false;
	u32 i;

	for (i = 0; i < number; i++)
		any |= those[i];
	for (i = 0; i < number && any; i++)
		counted[i].refuted |= !those[i];
	return any;
}

/*
 * Every process has its number twice: that of its group of threads is the same (task_struct.tgid). Where one that may be it is found
 * twice, what is found once is something else that tasks are counted by, as for sched_ext (tid, 7.x).
 */
static bool refute_without_twin(struct counted *counted, u32 number)
{
	bool twins[LAC_COUNTED] = { false };
	u32 i, j;

	for (i = 0; i < number; i++) {
		for (j = 0; j < i; j++) {
			if (counted[i].refuted || counted[i].twice || counted[j].refuted || counted[j].twice ||
			    counted[i].digest != counted[j].digest)
				continue;
			twins[i] = true;
			twins[j] = true;
		}
	}
	return refute_but(counted, number, twins);
}

/* Has everybody on the ring the number of this candidate once more, always right before it or always right behind? */
static bool has_twin_beside(struct lac_engine *engine, const struct counted *c)
{
	bool before = true, behind = true;
	s32 row[3];
	u32 i;

	for (i = 1; i < engine->view.ring_nr && (before || behind); i++) {
		if (lac_read(&engine->view.space, engine->ring[i] + (s64)c->offset - sizeof(row[0]), row, sizeof(row)))
			return false;
		before &= row[0] == row[1];
		behind &= row[2] == row[1];
	}
	return before || behind;
}

/*
 * Threads may have told that the number of their group is none of their own before anything else was told from pid. It still lies
 * beside pid, where structures are not shuffled.
 */
static void refute_without_neighbour(struct lac_engine *engine, struct counted *counted, u32 number)
{
	bool twins[LAC_COUNTED];
	u32 i;

	for (i = 0; i < number; i++)
		twins[i] = !counted[i].refuted && !counted[i].twice && has_twin_beside(engine, &counted[i]);
	refute_but(counted, number, twins);
}

/* Of very many candidates most have not @value in @task, which is read once for all of them. */
static void refute_others(struct lac_engine *engine, struct lac_hunt *hunt, u64 task, s32 value)
{
	u64 *refuted = engine->answers.refuted;
	u32 candidate, next, last;
	s32 offset, other;

	for (candidate = lac_next_asked(engine, hunt, 0); candidate < hunt->number; candidate = next) {
		offset = lac_offset(hunt, candidate);
		last = candidate + (LAC_PAGE_SIZE - hunt->size) / hunt->align;
		set_row(engine, task, offset, min(offset + (s32)LAC_PAGE_SIZE, lac_offset(hunt, hunt->number - 1) + hunt->size));
		for (next = candidate; next <= last && next < hunt->number; next = lac_next_asked(engine, hunt, next + 1))
			if (lac_int(&engine->row, lac_offset(hunt, next), &other) && other != value)
				refuted[next / LAC_BITS] |= 1ull << next % LAC_BITS;
	}
}

static void refute_by_first_processes(struct lac_engine *engine, struct lac_hunt *hunt, s32 list)
{
	u64 links[2];
	s32 i;

	if (!anchor_links(engine, list, links))
		return;
	for (i = 1; i < LAC_MIN_RING && lac_asked(engine, hunt) > LAC_COUNTED; i++) {
		refute_others(engine, hunt, links[0] - (s64)list, i);
		if (!lac_read_links(&engine->view.space, links[0], links) || !is_node(&engine->view.space, links[0]))
			return;
	}
}

static enum lac_outcome counted_outcome(struct lac_engine *engine, struct counted *c, u32 slot, s32 list, bool is_same)
{
	struct lac_view *view = &engine->view;
	s32 value;

	if (c->refuted)
		return LAC_REFUTED;
	/* it may be a task that has gone since it was met */
	if (c->twice)
		return is_same ? LAC_REFUTED : LAC_UNKNOWN;
	/* a thread is not on the ring: it has a number that nobody on the ring has */
	if (is_on_ring(engine, view->instance->at, list) || !lac_int(view->instance, c->offset, &value) || !value)
		return LAC_FITS;
	return fits_if(is_new(engine, c, slot, view->ring_nr, value));
}

static bool any_twice(const struct counted *counted, u32 number)
{
	u32 i;

	for (i = 0; i < number; i++)
		if (!counted[i].refuted && counted[i].twice)
			return true;
	return false;
}

/*
 * The first three: rest_init() makes sure of the numbers (2.6.23 and later), and none of them ever exits. No number comes twice. Only
 * what the kernel keeps is asked, nothing that a program may write.
 */
void lac_ring_counts(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct counted counted[LAC_COUNTED];
	u32 next = 0, number, walks = 0, i;
	bool followed, is_same;
	s32 list;

	if (!lac_known(engine, p->member))
		return;
	list = lac_known_offset(engine, p->member);
	refute_by_first_processes(engine, hunt, list);
	do {
		engine->view.counted = hunt;
		next = next_counted(engine, hunt, counted, next, &number);
		followed = number && count_along(engine, list, counted, number) && engine->view.ring_nr >= LAC_MIN_RING;
		if (followed && number < LAC_COUNTED && !walks++ && /* all of them were compared */
		    !refute_without_twin(counted, number) && number > 1 && engine->view.event->on == LACUNA_ON_LOOK)
			refute_without_neighbour(engine, counted, number);
		is_same = followed && any_twice(counted, number) && ring_is_same(engine, list);
		for (i = 0; i < number; i++)
			lac_answer(engine, p, counted[i].candidate,
				   followed ? counted_outcome(engine, &counted[i], i, list, is_same) : LAC_UNKNOWN);
	} while (number == LAC_COUNTED);
}

/* ---- threads ---- */

/* Tasks are aligned to more than their words (ARCH_MIN_TASKALIGN, and a cache line). */
#define TASK_ALIGNMENT 16

/* Can @next, which is in the list node at @offset of @leader, be another thread of it? That has the same @mm. */
static bool is_thread(struct lac_engine *engine, u64 leader, s32 offset, u64 next, u64 mm, s32 mm_offset)
{
	u64 thread = next - (s64)offset, other;

	return !((thread ^ leader) % TASK_ALIGNMENT) &&
	       !lac_read_word(&engine->view.space, thread + (s64)mm_offset, &other) && other == mm;
}

/* Does the list node at @node, which says @next, belong to a list? That which is next says who was before. */
static bool is_listed(struct lac_engine *engine, u64 node, u64 next)
{
	u64 previous;

	return next == node || (!lac_read_word(&engine->view.space, next + engine->word, &previous) && previous == node);
}

/* What is no list in the first process, or in two others, is not looked at in the next: one may just be changing. */
static void doubt(struct lac_search *search, u32 word, u64 bit)
{
	if (search->begun && !(search->doubts[word] & bit))
		search->doubts[word] |= bit;
	else
		search->lists[word] &= ~bit;
}

/* Which words of a task hold a list is the same in all of them. */
static bool search_process(struct lac_engine *engine, u64 leader, u64 mm, s32 mm_offset)
{
	struct lac_search *search = &engine->search;
	const struct lac_window *like = engine->view.instance;
	s32 high = like->low + (s32)like->size, offset, row_high = like->low;
	u64 node, next, left;
	u32 word, bit;

	for (word = 0; word < ARRAY_SIZE(search->lists); word++) {
		for (left = search->lists[word]; left; left &= left - 1) {
			bit = (u32)__builtin_ctzll(left);
			offset = like->low + (s32)((word * LAC_BITS + bit) * engine->word);
			if (offset + 2 * engine->word > high) {
				search->lists[word] &= ~(1ull << bit);
				continue;
			}
			if (offset + engine->word > row_high) {
				row_high = min(offset + (s32)LAC_PAGE_SIZE, high);
				set_row(engine, leader, offset, row_high);
			}
			node = leader + (s64)offset;
			if (!lac_word(&engine->row, offset, &next) || (!next && search->begun))
				continue;
			if (!is_node(&engine->view.space, next)) {
				doubt(search, word, 1ull << bit);
				continue;
			}
			if (next == node || (search->begun && !is_thread(engine, leader, offset, next, mm, mm_offset)))
				continue;
			if (!is_listed(engine, node, next)) {
				doubt(search, word, 1ull << bit);
				continue;
			}
			if (!search->begun && !is_thread(engine, leader, offset, next, mm, mm_offset))
				continue;
			search->leader = leader;
			search->link = offset;
			return true;
		}
	}
	search->begun = true;
	return false;
}

static void begin_search(struct lac_search *search)
{
	/* a list that was just being changed is not given up for good */
	if (!(search->rounds++ % LAC_LIST_ROUNDS)) {
		memset(search->lists, 0xff, sizeof(search->lists));
		memset(search->doubts, 0, sizeof(search->doubts));
		search->begun = false;
	}
	search->at = 0;
	search->kernel = 0;
}

/*
 * The processes, some at each event, from the newest to the oldest: where many kernel threads follow on each other there are
 * hardly any more. But process 1 is there, so every now and then all are passed.
 */
static bool search_ring(struct lac_engine *engine, s32 list, s32 mm_offset)
{
	struct lac_search *search = &engine->search;
	struct span span = { list, list + 2 * engine->word };
	u64 at = search->at, links[2], mm = 0;
	bool look = engine->view.event->on == LACUNA_ON_LOOK; /* holds nobody up: further, and past kernel threads more often */
	u32 passes = look ? 2 * LAC_PASSED : LAC_PASSED, searched = 0, passed;
	u64 node;

	if (!search->rounds)
		begin_search(search);
	widen(&span, mm_offset, mm_offset + engine->word);
	for (passed = 0; passed < passes && searched < LAC_SEARCHED; passed++) {
		if (!at || at == engine->facts.init_task) {
			begin_search(search);
			if (passed || !anchor_links(engine, list, links))
				return false;
		} else {
			set_row(engine, at, span.low, span.high);
			if (!row_links(engine, list, links) || !is_node(&engine->view.space, links[1]))
				break;
		}
		node = (at ? at : engine->facts.init_task) + (s64)list;
		at = links[1] - (s64)list;
		set_row(engine, at, span.low, span.high);
		/* it may have gone since the last event: begin again */
		if (!row_links(engine, list, links) || !is_node(&engine->view.space, links[1]) || links[0] != node ||
		    !read_of(engine, mm_offset, &mm, engine->word))
			break;
		if (engine->word == 4)
			mm = (u32)mm;
		search->at = at;
		if (!mm) {
			if (++search->kernel < LAC_PASSED / 4 || !(search->rounds % (look ? LAC_FULL_LOOKS : LAC_FULL_ROUNDS)))
				continue;
			begin_search(search);
			return false;
		}
		search->kernel = 0;
		searched++;
		if (search_process(engine, at, mm, mm_offset))
			return true;
	}
	if (passed < passes && searched < LAC_SEARCHED)
		begin_search(search);
	return false;
}

/* Does the thread that was found still hang there? */
static bool find_again(struct lac_engine *engine, s32 mm_offset, u64 *thread)
{
	const struct lac_search *search = &engine->search;
	u64 node = search->leader + (s64)search->link, links[2], mm;

	if (!search->leader || lac_read_word(&engine->view.space, search->leader + (s64)mm_offset, &mm) || !mm ||
	    !lac_read_links(&engine->view.space, node, links) || !is_node(&engine->view.space, links[0]))
		return false;
	*thread = links[0] - (s64)search->link;
	return links[0] != node && is_listed(engine, node, links[0]) &&
	       is_thread(engine, search->leader, search->link, links[0], mm, mm_offset);
}

static bool find_thread(struct lac_engine *engine, s32 list, s32 mm_offset, u64 *thread)
{
	struct lac_search *search = &engine->search;

	if (find_again(engine, mm_offset, thread))
		return true;
	search->leader = 0;
	/* where there has been none for long there hardly is one now; looks are seldom, and always for this */
	if (search->fruitless++ >= LAC_THREAD_SAMPLE && engine->view.event->on != LACUNA_ON_LOOK &&
	    search->fruitless % (2 * LAC_THREAD_SAMPLE))
		return false;
	if (!search_ring(engine, list, mm_offset) || !find_again(engine, mm_offset, thread))
		return false;
	search->fruitless = 0;
	return true;
}

/*
 * A thread has a number of its own and shares that of its group with its leader. Every thread of a process hangs on a list behind
 * its leader: thread_group up to 6.6, and since 3.14 thread_node, whose head in signal_struct lies before the leader. Who is on the
 * ring is a process, though it may share its parent's memory (vfork()). What only looks like a thread is not struck for: it would
 * have to hold the number of this very process.
 */
void lac_differs_in_threads(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct lac_view *view = &engine->view;
	u8 list = lac_list_of_tasks(engine);
	s32 offset, of_leader, of_thread;
	u32 candidate;
	u64 thread;

	if (!lac_known(engine, p->member) || !lac_known(engine, list) || lac_asked(engine, hunt) > LAC_MAX_COSTLY)
		return;
	offset = lac_known_offset(engine, list);
	if (!find_thread(engine, offset, lac_known_offset(engine, p->member), &thread))
		return;
	if (lac_read_ring(engine, offset) < LAC_MIN_RING || is_on_ring(engine, thread, offset) ||
	    !is_on_ring(engine, engine->search.leader, offset)) {
		engine->search.leader = 0;
		return;
	}
	lac_for_asked(engine, hunt, candidate) {
		offset = lac_offset(hunt, candidate);
		if (lac_read(&view->space, engine->search.leader + (s64)offset, &of_leader, sizeof(of_leader)) ||
		    lac_read(&view->space, thread + (s64)offset, &of_thread, sizeof(of_thread)))
			continue;
		lac_answer(engine, p, candidate, fits_if(of_leader != of_thread));
	}
}
