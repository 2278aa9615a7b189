// SPDX-License-Identifier: GPL-2.0-only
#include "event.h"

#include "guest.h"
#include "recording.h"

void lac_event_skip(struct lac_guest *guest, enum lacuna_skip why)
{
	spin_lock(&guest->stats_lock);
	guest->stats.events_skipped[why]++;
	spin_unlock(&guest->stats_lock);
}

void lac_event_waste(struct lac_guest *guest, u32 kind)
{
	spin_lock(&guest->stats_lock);
	guest->stats.wasted[kind]++;
	spin_unlock(&guest->stats_lock);
}

int lac_event_take(struct lac_guest *guest, const struct lac_event *event, const struct lac_memory *memory)
{
	struct lac_record_event record = { event->on, event->paging, event->subject, event->cr3 };
	enum lac_used used;

	lac_recording_add(guest->recording, LAC_RECORD_EVENT, &record, sizeof(record));
	used = lac_engine_event(guest->engine, event, memory);
	switch (used) {
	case LAC_USED:
		guest->stats.events_used++;
		break;
	case LAC_NO_INSTANCE:
		lac_event_skip(guest, LACUNA_SKIP_NO_INSTANCE);
		break;
	case LAC_BUILTIN:
		lac_event_skip(guest, LACUNA_SKIP_BUILTIN);
		break;
	}
	return used;
}

void lac_event_forget(struct lac_guest *guest, u64 task)
{
	lac_engine_forget(guest->engine, task);
	lac_recording_add(guest->recording, LAC_RECORD_FORGET, &task, sizeof(task));
}

enum lac_news lac_event_update(struct lac_guest *guest)
{
	struct lacuna_member_report now, *then;
	enum lac_news news = LAC_NO_NEWS;
	u32 i;

	mutex_lock(&guest->lock);
	guest->root = lac_engine_root(guest->engine);
	for (i = 0; i < guest->members_nr; i++) {
		then = &guest->members[i];
		lac_engine_report(guest->engine, i, &now);
		if (now.remaining != then->remaining || now.state != then->state)
			news = LAC_PROGRESS;
		else if ((now.state != LACUNA_RESOLVED && now.witnesses != then->witnesses) ||
			 (now.state == LACUNA_TIED && now.events != then->events))
			news = max(news, LAC_EVIDENCE);
		now.resolved_ns = then->resolved_ns;
		if (now.state == LACUNA_RESOLVED && !now.resolved_ns)
			now.resolved_ns = lac_guest_time(guest) - guest->stats.first_trap_ns;
		*then = now;
	}
	mutex_unlock(&guest->lock);
	return news;
}
