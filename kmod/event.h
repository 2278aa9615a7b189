/* SPDX-License-Identifier: GPL-2.0-only */
/* An event on its way to the engine, and what it has changed. With engine_lock held. */
#ifndef LACUNA_EVENT_H
#define LACUNA_EVENT_H

#include <lacuna/abi.h>

struct lac_event;
struct lac_guest;
struct lac_memory;

/* What the engine says of it (enum lac_used). Also counts it, and keeps it in the guest's recording. */
int lac_event_take(struct lac_guest *guest, const struct lac_event *event, const struct lac_memory *memory);

/* The task has ended, or any may have (LAC_ALL_TASKS), and no event was made of it. */
void lac_event_forget(struct lac_guest *guest, u64 task);

/* Counts one that could not be taken; engine_lock need not be held. */
void lac_event_skip(struct lac_guest *guest, enum lacuna_skip why);

/* Counts a trap of a site of @kind whose event taught nothing; engine_lock need not be held. */
void lac_event_waste(struct lac_guest *guest, u32 kind);

enum lac_news {
	LAC_NO_NEWS,
	LAC_EVIDENCE, /* a candidate of a member that is still open was seen at work, or those of one that is tied differed */
	LAC_PROGRESS, /* candidates were struck, or a member has another state */
};

/* Takes over what the engine says now. */
enum lac_news lac_event_update(struct lac_guest *guest);

#endif
