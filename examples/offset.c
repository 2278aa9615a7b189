// SPDX-License-Identifier: GPL-2.0-or-later
// offset PROFILE STRUCTURE MEMBER: where a kernel keeps a member, by lacuna/profile.h.
// cc offset.c -o offset $(pkg-config --cflags --libs json-c)
#include <stdio.h>

#include <lacuna/profile.h>

int main(int argc, char **argv)
{
	struct lacuna_profile profile;
	struct lacuna_offset found;
	int err;

	if (argc != 4) {
		fprintf(stderr, "usage: %s PROFILE STRUCTURE MEMBER\n", argv[0]);
		return 2;
	}
	err = lacuna_profile_open(&profile, argv[1]);
	if (err) {
		fprintf(stderr, "%s: %s\n", argv[1], err == -ENOENT ? "cannot be read" : "is no profile");
		return 1;
	}
	err = lacuna_profile_find(&profile, argv[2], argv[3], &found);
	lacuna_profile_close(&profile);
	if (err) {
		fprintf(stderr, "%s.%s: %s\n", argv[2], argv[3], err == -ENOENT ? "is not in the profile" : "is not known");
		return 1;
	}
	printf("%ld%s%s\n", found.offset, found.from_list ? " from list" : "", found.tied ? " tied" : "");
	return 0;
}
