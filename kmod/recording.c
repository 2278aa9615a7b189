// SPDX-License-Identifier: GPL-2.0-only
#include "recording.h"

#include <linux/jhash.h>
#include <linux/minmax.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <linux/xarray.h>

#define CHUNK SZ_1M
#define MAX_CHUNKS 256

struct lac_recording {
	u64 size;
	u64 reads; /* since the last event was added */
	bool full;
	struct xarray pages; /* by page number: hash of what was kept last */
	u8 *chunks[MAX_CHUNKS];
	u8 page[LAC_RECORD_PAGE_SIZE];
};

struct lac_recording *lac_recording_create(void)
{
	struct lac_recording *recording = kzalloc(sizeof(*recording), GFP_KERNEL);

	if (recording)
		xa_init(&recording->pages);
	return recording;
}

void lac_recording_destroy(struct lac_recording *recording)
{
	u32 i;

	if (!recording)
		return;
	for (i = 0; i < MAX_CHUNKS; i++)
		vfree(recording->chunks[i]);
	xa_destroy(&recording->pages);
	kfree(recording);
}

static bool room_for(struct lac_recording *recording, u32 size)
{
	u64 last = recording->size + size - 1, i;

	if (recording->full || last / CHUNK >= MAX_CHUNKS) {
		recording->full = true;
		return false;
	}
	for (i = recording->size / CHUNK; i <= last / CHUNK; i++) {
		if (!recording->chunks[i])
			recording->chunks[i] = vmalloc(CHUNK);
		if (!recording->chunks[i]) {
			recording->full = true;
			return false;
		}
	}
	return true;
}

static void append(struct lac_recording *recording, const void *data, u32 size)
{
	const u8 *from = data;
	u32 part;

	for (; size; size -= part, from += part, recording->size += part) {
		part = min_t(u32, size, CHUNK - recording->size % CHUNK);
		memcpy(recording->chunks[recording->size / CHUNK] + recording->size % CHUNK, from, part);
	}
}

void lac_recording_add(struct lac_recording *recording, u32 kind, const void *data, u32 size)
{
	struct lac_record_head head = { .kind = kind, .size = size };

	if (!recording || !room_for(recording, sizeof(head) + size))
		return;
	recording->reads = 0;
	append(recording, &head, sizeof(head));
	append(recording, data, size);
}

u8 *lac_recording_page(struct lac_recording *recording)
{
	return recording->page;
}

void lac_recording_keep_page(struct lac_recording *recording, u64 gpa)
{
	const u8 *page = recording->page;
	struct lac_record_page record = { .gpa = gpa, .read = ++recording->reads };
	struct lac_record_head head = { .kind = LAC_RECORD_PAGE, .size = sizeof(record) + LAC_RECORD_PAGE_SIZE };
	/* two hashes: a change that escapes both would only make a replay differ */
	u64 hash = (u64)jhash(page, LAC_RECORD_PAGE_SIZE, 1) << 31 ^ jhash(page, LAC_RECORD_PAGE_SIZE, 2);
	void *entry = xa_mk_value(hash & LONG_MAX);

	if (xa_load(&recording->pages, gpa / LAC_RECORD_PAGE_SIZE) == entry)
		return;
	if (!room_for(recording, sizeof(head) + head.size))
		return;
	append(recording, &head, sizeof(head));
	append(recording, &record, sizeof(record));
	append(recording, page, LAC_RECORD_PAGE_SIZE);
	xa_store(&recording->pages, gpa / LAC_RECORD_PAGE_SIZE, entry, GFP_KERNEL);
}

u32 lac_recording_copy(const struct lac_recording *recording, u64 offset, void *to, u32 size)
{
	u32 done, part;

	if (!recording || offset >= recording->size)
		return 0;
	size = min_t(u64, size, recording->size - offset);
	for (done = 0; done < size; done += part, offset += part) {
		part = min_t(u32, size - done, CHUNK - offset % CHUNK);
		memcpy(to + done, recording->chunks[offset / CHUNK] + offset % CHUNK, part);
	}
	return size;
}
