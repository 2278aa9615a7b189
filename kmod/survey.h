/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Looking at a guest that runs, now and then and without any trap: whether process 1 runs a program yet, before which no process is
 * worth a trap, and as long as a member is open of which looks tell, or tied: what tells its candidates apart may come long after the
 * last event that is worth a trap.
 */
#ifndef LACUNA_SURVEY_H
#define LACUNA_SURVEY_H

struct lac_guest;

/* Of a guest that has just been made. */
void lac_survey_init(struct lac_guest *guest);

/* While it is trapped, lock held: looks in a moment, and again until looks tell nothing more or the hunt ends. */
void lac_survey_begin(struct lac_guest *guest);

#endif
