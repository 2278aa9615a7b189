/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a profile from C, with json-c: `cc program.c $(pkg-config --cflags --libs json-c)`.
 *
 * A member is usable when it is resolved, or tied: then several places have had the same value in every instance ever seen, and
 * the first of them is offered. Every other member is none of a reader's business. Profiles of schema 1 and 2 are read.
 */
#ifndef LACUNA_PROFILE_H
#define LACUNA_PROFILE_H

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <json-c/json.h>

struct lacuna_profile {
	struct json_object *json;
};

struct lacuna_offset {
	long offset; /* bytes */
	bool from_list; /* counted from the structure's list node (module.list), not from its start */
	bool tied;
};

static inline const char *lacuna_profile_text(struct json_object *object, const char *key)
{
	struct json_object *value;

	return json_object_object_get_ex(object, key, &value) ? json_object_get_string(value) : NULL;
}

/* 0, -ENOENT if the file cannot be read as JSON, -EINVAL if it is no profile. */
static inline int lacuna_profile_open(struct lacuna_profile *profile, const char *file)
{
	const char *schema;

	profile->json = json_object_from_file(file);
	if (!profile->json)
		return -ENOENT;
	schema = lacuna_profile_text(profile->json, "schema");
	if (schema && (!strcmp(schema, "lacuna-profile/1") || !strcmp(schema, "lacuna-profile/2")))
		return 0;
	json_object_put(profile->json);
	profile->json = NULL;
	return -EINVAL;
}

static inline void lacuna_profile_close(struct lacuna_profile *profile)
{
	json_object_put(profile->json);
	profile->json = NULL;
}

/* 0, -ENOENT if the profile has no such member, -ENODATA if it has one that is not usable. */
static inline int lacuna_profile_find(const struct lacuna_profile *profile, const char *structure, const char *name,
				      struct lacuna_offset *found)
{
	struct json_object *members, *of_structure, *member, *offset;
	const char *state;

	if (!json_object_object_get_ex(profile->json, "members", &members) ||
	    !json_object_object_get_ex(members, structure, &of_structure) ||
	    !json_object_object_get_ex(of_structure, name, &member))
		return -ENOENT;
	state = lacuna_profile_text(member, "state");
	if (!state || (strcmp(state, "resolved") && strcmp(state, "tied")) ||
	    !json_object_object_get_ex(member, "offset", &offset))
		return -ENODATA;
	found->offset = (long)json_object_get_int64(offset);
	found->from_list = lacuna_profile_text(member, "relative_to") != NULL;
	found->tied = !strcmp(state, "tied");
	return 0;
}

#endif
