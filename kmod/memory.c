// SPDX-License-Identifier: GPL-2.0-only
#include "memory.h"

#include <linux/align.h>
#include <linux/delay.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "guest.h"
#include "kvm.h"
#include "recording.h"

/* Other vCPUs write: what is kept must be what was read, so that a replay sees the same. */
static int read_and_record(struct lac_reader *reader, u64 gpa, void *buffer, u32 len)
{
	struct lac_recording *recording = reader->guest->recording;
	u64 start = ALIGN_DOWN(gpa, LAC_RECORD_PAGE_SIZE);
	u8 *page = lac_recording_page(recording);
	int err;

	err = lac_kvm_read(reader->kvm, start, page, LAC_RECORD_PAGE_SIZE);
	if (err)
		return err;
	lac_recording_keep_page(recording, start);
	memcpy(buffer, page + (gpa - start), len);
	return 0;
}

static int read_by_vcpu(void *context, u64 gpa, void *buffer, u32 len)
{
	struct lac_reader *reader = context;
	int err;

	lockdep_assert_held(&reader->guest->engine_lock);
	cond_resched();
	if (fatal_signal_pending(current))
		return -EINTR;
	reader->bytes += len;
	err = reader->guest->recording ? read_and_record(reader, gpa, buffer, len) :
					 lac_kvm_read(reader->kvm, gpa, buffer, len);
	reader->incomplete |= err == -EAGAIN;
	return err;
}

struct lac_memory lac_reader_memory(struct lac_reader *reader)
{
	return (struct lac_memory){ .read = read_by_vcpu, .context = reader };
}

struct outside_read {
	struct work_struct work;
	struct lac_guest *guest;
	struct kvm *kvm;
	u64 gpa;
	void *buffer;
	u32 len;
	int err;
};

#define READ_TRIES 10
#define READ_MS 10

static void read_in_space(struct kvm *kvm, void *data)
{
	struct outside_read *read = data;

	read->err = lac_kvm_read(kvm, read->gpa, read->buffer, read->len);
}

static void do_read(struct work_struct *work)
{
	struct outside_read *read = container_of(work, struct outside_read, work);
	int i;

	/* what was paged out is on its way after the first try */
	for (i = 0; i < READ_TRIES; i++) {
		if (i)
			msleep(READ_MS);
		if (!lac_kvm_in_space(read->kvm, read_in_space, read))
			read->err = -ESHUTDOWN;
		if (read->err != -EAGAIN)
			break;
	}
	lac_guest_put(read->guest);
}

int lac_memory_read(struct lac_guest *guest, u64 gpa, void *buffer, u32 len)
{
	struct outside_read read = {
		.guest = guest,
		.kvm = lac_guest_kvm(guest),
		.gpa = gpa,
		.buffer = buffer,
		.len = len,
	};

	might_sleep();
	if (!read.kvm)
		return -ESHUTDOWN;
	INIT_WORK_ONSTACK(&read.work, do_read);
	lac_guest_queue(guest, &read.work);
	flush_work(&read.work);
	destroy_work_on_stack(&read.work);
	kvm_put_kvm(read.kvm);
	return read.err;
}
