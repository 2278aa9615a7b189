// SPDX-License-Identifier: GPL-2.0-only
/* The tasks known to be alive. Forgetting one loses evidence, keeping a dead one would be wrong: when full, it forgets. */
#include "internal.h"

static u32 slot_of(u64 task)
{
	return (u32)((task * 0x9e3779b97f4a7c15ull) >> 32) % LAC_LIVE_SLOTS;
}

/* The slot of @task, or the free one where it would be. */
u32 lac_live_slot(const struct lac_live *live, u64 task)
{
	u32 slot = slot_of(task);

	while (live->slots[slot] && live->slots[slot] != task)
		slot = (slot + 1) % LAC_LIVE_SLOTS;
	return slot;
}

bool lac_live_has(const struct lac_live *live, u64 task)
{
	return task && live->slots[lac_live_slot(live, task)] == task;
}

void lac_live_add(struct lac_live *live, u64 task)
{
	u32 slot;

	if (!task || lac_live_has(live, task))
		return;
	if (live->used >= LAC_LIVE_SLOTS / 2)
		memset(live, 0, sizeof(*live));
	slot = lac_live_slot(live, task);
	live->slots[slot] = task;
	live->used++;
}

u64 lac_live_next(const struct lac_live *live, u64 task)
{
	u64 next = ~0ull;
	u32 i;

	for (i = 0; i < LAC_LIVE_SLOTS; i++)
		if (live->slots[i] > task)
			next = min(next, live->slots[i]);
	return next;
}

void lac_live_remove(struct lac_live *live, u64 task)
{
	u32 hole, slot, home;

	if (!lac_live_has(live, task))
		return;
	hole = lac_live_slot(live, task);
	live->slots[hole] = 0;
	live->used--;
	/* linear probing: what was pushed past the hole moves back into it */
	for (slot = (hole + 1) % LAC_LIVE_SLOTS; live->slots[slot]; slot = (slot + 1) % LAC_LIVE_SLOTS) {
		home = slot_of(live->slots[slot]);
		if ((slot - home) % LAC_LIVE_SLOTS < (slot - hole) % LAC_LIVE_SLOTS)
			continue;
		live->slots[hole] = live->slots[slot];
		live->slots[slot] = 0;
		hole = slot;
	}
}
