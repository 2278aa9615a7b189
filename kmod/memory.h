/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading a guest's memory: in a vCPU's thread, for the engine, and for somebody outside. */
#ifndef LACUNA_KMOD_MEMORY_H
#define LACUNA_KMOD_MEMORY_H

#include "engine/space.h"

struct kvm;
struct lac_guest;

/* Reads in a vCPU's thread, under the engine_lock of the guest; what it reads gets into the guest's recording, if there is one. */
struct lac_reader {
	struct kvm *kvm;
	struct lac_guest *guest;
	u64 bytes; /* read so far */
	bool incomplete; /* something was not there when it was asked for */
};

/* As the engine wants it; @reader must stay. */
struct lac_memory lac_reader_memory(struct lac_reader *reader);

/* For somebody outside: 0, -EAGAIN if it does not come in a moment, or another negative errno. The range lies in one page. */
int lac_memory_read(struct lac_guest *guest, u64 gpa, void *buffer, u32 len);

#endif
