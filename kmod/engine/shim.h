/* SPDX-License-Identifier: GPL-2.0-only */
/* What the engine needs of its surroundings: the kernel, or the C library in unit tests, replays and fuzzers. */
#ifndef LACUNA_ENGINE_SHIM_H
#define LACUNA_ENGINE_SHIM_H

#ifdef __KERNEL__

#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/minmax.h>
#include <linux/string.h>
#include <linux/types.h>
#include <linux/vmalloc.h>

#define lac_alloc(size) vzalloc(size)
#define lac_free(p) vfree(p)

static inline u32 lac_weight(u64 word)
{
	return (u32)hweight64(word);
}

#else

#include <errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int32_t s32;
typedef int64_t s64;

#define lac_alloc(size) calloc(1, size)
#define lac_free(p) free(p)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline u32 lac_weight(u64 word)
{
	return (u32)__builtin_popcountll(word);
}

#ifndef __cplusplus
#define min(a, b) ((a) < (b) ? (a) : (b))
#define max(a, b) ((a) > (b) ? (a) : (b))
#endif

#endif

#endif
