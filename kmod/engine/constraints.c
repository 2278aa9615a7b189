// SPDX-License-Identifier: GPL-2.0-only
/* Is a constraint set well-formed? The rest of the engine relies on what is checked here and on nothing else. */
#include "engine.h"
#include "internal.h"

static bool terminated(const char *text, u32 size)
{
	return text[0] && memchr(text, 0, size);
}

static bool refers(const struct lacuna_constraints *set, u8 index, u8 type, u8 structure)
{
	return index < set->members_nr && set->members[index].type == type && set->members[index].structure == structure;
}

static bool predicate_ok(const struct lacuna_constraints *set, const struct lacuna_member *m,
			 const struct lacuna_predicate *p)
{
	u8 source = set->structures[m->structure].source;

	if (!p->on || p->on & ~LACUNA_ON_ALL || p->witness > 1 || !memchr(p->text, 0, sizeof(p->text)))
		return false;
	if (p->kind != LACUNA_RING && p->kind != LACUNA_RING_COUNTS && p->kind != LACUNA_EXTENT &&
	    p->kind != LACUNA_DIFFERS_IN_THREADS && p->member != LACUNA_NO_MEMBER)
		return false;
	switch (p->kind) {
	case LACUNA_ANCHOR_TEXT:
		return m->type == LACUNA_TYPE_TEXT && source == LACUNA_SOURCE_TASK && p->text[0] &&
		       strlen(p->text) < m->size;
	case LACUNA_ANCHOR_VALUE:
		return m->type != LACUNA_TYPE_TEXT && m->type != LACUNA_TYPE_LIST && source == LACUNA_SOURCE_TASK;
	case LACUNA_RANGE:
		return m->type != LACUNA_TYPE_TEXT && m->type != LACUNA_TYPE_LIST;
	case LACUNA_TEXT:
	case LACUNA_TEXT_ECHOED:
		return m->type == LACUNA_TYPE_TEXT;
	case LACUNA_RING:
		return m->type == LACUNA_TYPE_LIST && source == LACUNA_SOURCE_TASK &&
		       refers(set, p->member, LACUNA_TYPE_TEXT, m->structure);
	case LACUNA_RING_COUNTS:
		return m->type == LACUNA_TYPE_INT && source == LACUNA_SOURCE_TASK &&
		       refers(set, p->member, LACUNA_TYPE_LIST, m->structure);
	case LACUNA_DIFFERS_IN_THREADS:
		return m->type == LACUNA_TYPE_INT && source == LACUNA_SOURCE_TASK &&
		       refers(set, p->member, LACUNA_TYPE_POINTER, m->structure);
	case LACUNA_UNIQUE:
		return m->type == LACUNA_TYPE_INT && source == LACUNA_SOURCE_TASK;
	case LACUNA_LEADS_TO_ROOT:
		return m->type == LACUNA_TYPE_POINTER && source == LACUNA_SOURCE_TASK && p->arg[0] >= 8 &&
		       p->arg[0] <= LAC_PAGE_SIZE;
	case LACUNA_NULL_AT_TIMES:
	case LACUNA_IS_ROOT:
		return m->type == LACUNA_TYPE_POINTER;
	case LACUNA_CODE_START:
	case LACUNA_CODE_END:
		return m->type == LACUNA_TYPE_LONG && source == LACUNA_SOURCE_POINTER;
	case LACUNA_TEXT_PART:
		return m->type == LACUNA_TYPE_POINTER && source == LACUNA_SOURCE_MODULE;
	case LACUNA_EXTENT:
		return m->type == LACUNA_TYPE_INT && source == LACUNA_SOURCE_MODULE &&
		       refers(set, p->member, LACUNA_TYPE_POINTER, m->structure);
	}
	return false;
}

static bool member_ok(const struct lacuna_constraints *set, const struct lacuna_member *m)
{
	u32 i;

	if (!terminated(m->name, sizeof(m->name)) || m->structure >= set->structures_nr || m->type >= LACUNA_TYPES)
		return false;
	if (m->type == LACUNA_TYPE_TEXT ? m->size < 2 || m->size > LAC_MAX_TEXT : m->size)
		return false;
	if (m->align & (m->align - 1) || m->align > 8)
		return false;
	if (!m->strikes || !m->witnesses || !m->instances || m->instances > LAC_SEEN)
		return false;
	if (!m->predicates_nr || m->predicates_nr > LACUNA_MAX_PREDICATES)
		return false;
	for (i = 0; i < m->predicates_nr; i++)
		if (!predicate_ok(set, m, &m->predicates[i]))
			return false;
	return true;
}

static bool structure_ok(const struct lacuna_constraints *set, const struct lacuna_structure *s)
{
	const struct lacuna_member *pointer;

	if (!terminated(s->name, sizeof(s->name)) || s->source >= LACUNA_SOURCES)
		return false;
	if (s->low > 0 || s->low < -LACUNA_MAX_WINDOW || s->high < LAC_MAX_TEXT || s->high > LACUNA_MAX_WINDOW)
		return false;
	if (s->low % 8 || s->high % 8 || s->high - s->low > LACUNA_MAX_WINDOW)
		return false;
	if (s->source != LACUNA_SOURCE_POINTER)
		return true;
	if (s->member >= set->members_nr)
		return false;
	pointer = &set->members[s->member];
	return pointer->type == LACUNA_TYPE_POINTER && pointer->structure < set->structures_nr &&
	       set->structures[pointer->structure].source == LACUNA_SOURCE_TASK;
}

int lac_constraints_check(const struct lacuna_constraints *set)
{
	u32 i, sources[LACUNA_SOURCES] = { 0 };

	if (set->magic != LACUNA_MAGIC || set->version != LACUNA_ABI_VERSION)
		return -EINVAL;
	if (!set->structures_nr || set->structures_nr > LACUNA_MAX_STRUCTURES)
		return -EINVAL;
	if (!set->members_nr || set->members_nr > LACUNA_MAX_MEMBERS)
		return -EINVAL;
	for (i = 0; i < set->structures_nr; i++) {
		if (!structure_ok(set, &set->structures[i]))
			return -EINVAL;
		sources[set->structures[i].source]++;
	}
	if (sources[LACUNA_SOURCE_TASK] > 1 || sources[LACUNA_SOURCE_MODULE] > 1)
		return -EINVAL;
	for (i = 0; i < set->members_nr; i++)
		if (!member_ok(set, &set->members[i]))
			return -EINVAL;
	return 0;
}
