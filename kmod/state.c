// SPDX-License-Identifier: GPL-2.0-only
#include "state.h"

#define STATES (LACUNA_GUEST_GONE + 1)
#define TO(state) (1u << LACUNA_GUEST_##state)

/*
 * A guest begins as CREATED, and may go at any time: after GONE comes nothing. RESTORING is between a hunt and whatever comes
 * then, since a vCPU may be in a trap until it is over.
 */
static const unsigned int following[STATES] = {
	/* the answer to what is to be done with it */
	[LACUNA_GUEST_CREATED] = TO(WAITING) | TO(IGNORED) | TO(GONE),
	/* its kernel runs; or the hunt ends before */
	[LACUNA_GUEST_WAITING] = TO(TRAPPING) | TO(RESTORING) | TO(GONE),
	/* it is reset, and the next kernel is waited for; or the hunt ends */
	[LACUNA_GUEST_TRAPPING] = TO(WAITING) | TO(RESTORING) | TO(GONE),
	/* the bytes are back: learned from, or let go, or told to */
	[LACUNA_GUEST_RESTORING] = TO(DONE) | TO(FAILED) | TO(IGNORED) | TO(GONE),
	/* it is reset, and asked about as if it were new; or somebody wants it (again) */
	[LACUNA_GUEST_DONE] = TO(CREATED) | TO(WAITING) | TO(GONE),
	[LACUNA_GUEST_FAILED] = TO(CREATED) | TO(WAITING) | TO(GONE),
	[LACUNA_GUEST_IGNORED] = TO(CREATED) | TO(WAITING) | TO(GONE),
	[LACUNA_GUEST_GONE] = 0,
};

bool lac_state_may_follow(unsigned int from, unsigned int to)
{
	return from < STATES && to < STATES && following[from] >> to & 1;
}
