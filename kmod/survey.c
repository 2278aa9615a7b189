// SPDX-License-Identifier: GPL-2.0-only
#include "survey.h"

#include "engine/engine.h"
#include "event.h"
#include "guest.h"
#include "hunt.h"
#include "kvm.h"
#include "memory.h"

/* Between two looks. While they tell nothing new, each waits a quarter longer than the last. */
#define SURVEY_MS 250
#define SURVEY_MOST_MS 2000

struct survey {
	struct lac_guest *guest;
	enum lac_news news;
	bool looked, goes_on;
};

static void look(struct kvm *kvm, void *data)
{
	struct survey *survey = data;
	struct lac_guest *guest = survey->guest;
	struct lac_reader reader = { .kvm = kvm, .guest = guest };
	struct lac_memory memory = lac_reader_memory(&reader);
	struct lac_event event = { .on = LACUNA_ON_LOOK, .paging = guest->paging };
	bool settled = false, trapping, tasks;
	u64 events;

	mutex_lock(&guest->engine_lock);
	trapping = READ_ONCE(guest->state) == LACUNA_GUEST_TRAPPING;
	if (trapping && lac_engine_wants_looks(guest->engine)) {
		tasks = lac_engine_settled(guest->engine, false);
		events = guest->stats.events_used;
		/* as long as traps tell of processes nobody need look at them */
		if (tasks || events == guest->surveyed_events) {
			lac_event_take(guest, &event, &memory);
			guest->stats.looks++;
			survey->looked = true;
			survey->news = lac_event_update(guest);
			if (!tasks && lac_engine_settled(guest->engine, false))
				lac_hunt_tasks_known(guest, kvm);
			events = guest->stats.events_used;
		}
		guest->surveyed_events = events;
		survey->goes_on = lac_engine_wants_looks(guest->engine);
		settled = !survey->goes_on && lac_engine_settled(guest->engine, false) &&
			  lac_engine_settled(guest->engine, true);
	}
	if (trapping)
		lac_hunt_rouse(guest, kvm);
	mutex_unlock(&guest->engine_lock);
	if (settled)
		lac_hunt_end(guest, kvm, NULL, LACUNA_GUEST_DONE, NULL);
}

static void work(struct work_struct *work)
{
	struct lac_guest *guest = container_of(to_delayed_work(work), struct lac_guest, survey_work);
	struct survey survey = { .guest = guest };
	struct kvm *kvm = lac_guest_kvm(guest);

	if (kvm) {
		lac_kvm_in_space(kvm, look, &survey);
		kvm_put_kvm(kvm);
	}
	if (survey.news == LAC_PROGRESS)
		lac_guest_tell(guest, LACUNA_EVENT_PROGRESS);
	/* whoever ends the hunt has taken it back after that, or takes it back now */
	mutex_lock(&guest->lock);
	if (survey.news != LAC_NO_NEWS)
		guest->survey_ms = SURVEY_MS;
	else if (survey.looked)
		guest->survey_ms = min_t(unsigned int, guest->survey_ms + guest->survey_ms / 4, SURVEY_MOST_MS);
	if (survey.goes_on && guest->state == LACUNA_GUEST_TRAPPING)
		lac_guest_queue_delayed(guest, &guest->survey_work, msecs_to_jiffies(guest->survey_ms));
	mutex_unlock(&guest->lock);
	lac_guest_put(guest);
}

void lac_survey_init(struct lac_guest *guest)
{
	INIT_DELAYED_WORK(&guest->survey_work, work);
}

void lac_survey_begin(struct lac_guest *guest)
{
	lockdep_assert_held(&guest->lock);
	guest->survey_ms = SURVEY_MS;
	lac_guest_queue_delayed(guest, &guest->survey_work, msecs_to_jiffies(SURVEY_MS));
}
