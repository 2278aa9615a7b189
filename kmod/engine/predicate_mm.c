// SPDX-License-Identifier: GPL-2.0-only
/* What can be asked of a process's address space. constraints/README.md says what each predicate rests on. */
#include "predicate.h"

static enum lac_outcome is_root(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
				u32 candidate, const u8 *bytes)
{
	return fits_if(lac_points_to_root(engine, lac_load_word(engine, bytes)));
}

void lac_is_root(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	lac_ask_each(engine, hunt, p, engine->view.instance, is_root, LAC_REFUTED);
}

/* The parts of the ELF format that are needed (System V ABI, chapters 4 and 5). */
#define ELF_MAX_PHNUM 64u
#define PT_LOAD 1
#define PT_PHDR 6
#define PF_X 1

struct elf_segment {
	u32 type, flags;
	u64 file_offset, va, file_size;
};

/* What of the format depends on the word. */
static const struct elf_class {
	u8 header; /* bytes */
	u8 phoff; /* offset of e_phoff in the header */
	u8 entry; /* bytes of a program header; of its fields the offsets: */
	u8 flags, file_offset, va, file_size;
} elf32 = { 52, 28, 32, 24, 4, 8, 16 }, elf64 = { 64, 32, 56, 4, 8, 16, 32 };

static const struct elf_class *elf_class(u8 word)
{
	return word == 4 ? &elf32 : &elf64;
}

static u64 load_word(const u8 *bytes, u8 word)
{
	u64 value = 0;

	memcpy(&value, bytes, word); /* little-endian, as all x86 */
	return value;
}

static struct elf_segment load_segment(const u8 *bytes, u8 word)
{
	const struct elf_class *class = elf_class(word);

	return (struct elf_segment){
		.type = (u32)load_word(bytes, 4),
		.flags = (u32)load_word(bytes + class->flags, 4),
		.file_offset = load_word(bytes + class->file_offset, word),
		.va = load_word(bytes + class->va, word),
		.file_size = load_word(bytes + class->file_size, word),
	};
}

/* Addresses of a guest's program wrap around as its words do. */
static u64 wrap(u64 va, u8 word)
{
	return word == 4 ? (u32)va : va;
}

/*
 * A process's auxiliary vector is kept in its mm_struct as the process itself got it: that it names the program headers
 * with AT_PHDR (3), AT_PHENT (4) and AT_PHNUM (5), one after the other, is what user space was given since 2.6. That of a
 * 32-bit process of a 64-bit kernel has other words and is not recognised.
 */
static bool find_program_headers(struct lac_space *space, struct lac_window *w, u64 *headers, u32 *number)
{
	u64 pair[6];
	s32 offset;
	u32 i;

	for (offset = w->low; offset < w->low + (s32)w->size; offset += w->word) {
		if (!lac_word(w, offset, &pair[0]) || pair[0] != 3) /* nearly none is */
			continue;
		for (i = 1; i < ARRAY_SIZE(pair); i++)
			if (!lac_word(w, offset + (s32)(i * w->word), &pair[i]))
				break;
		if (i < ARRAY_SIZE(pair) || pair[2] != 4 || pair[4] != 5)
			continue;
		if (pair[3] != elf_class(w->word)->entry || !pair[5] || pair[5] > ELF_MAX_PHNUM ||
		    !lac_is_user(space, pair[1]))
			continue;
		*headers = pair[1];
		*number = (u32)pair[5];
		return true;
	}
	return false;
}

static bool elf_header_precedes(struct lac_space *space, u64 headers)
{
	const struct elf_class *class = elf_class(space->word);
	u8 header[64];

	if (lac_read(space, headers - class->header, header, class->header) || memcmp(header, "\177ELF", 4))
		return false;
	return load_word(header + class->phoff, space->word) == class->header;
}

static bool load_bias(struct lac_space *space, const u8 *table, u32 number, u64 headers, u64 *bias)
{
	const struct elf_class *class = elf_class(space->word);
	struct elf_segment s;
	u32 i;

	for (i = 0; i < number; i++) {
		s = load_segment(table + i * class->entry, space->word);
		if (s.type == PT_PHDR) {
			*bias = headers - s.va;
			return true;
		}
	}
	for (i = 0; i < number; i++) {
		s = load_segment(table + i * class->entry, space->word);
		if (s.type == PT_LOAD && !s.file_offset) {
			*bias = headers - class->header - s.va;
			return elf_header_precedes(space, headers);
		}
	}
	return false;
}

/* As load_elf_binary() does (fs/binfmt_elf.c): code is what lies in executable segments, up to the end of the file's bytes. */
static bool read_code(struct lac_engine *engine, struct lac_code *code)
{
	const struct elf_class *class = elf_class(engine->word);
	struct lac_space *space = &engine->view.space;
	const u8 *table = lac_scratch(engine);
	u64 headers, bias, start, end;
	struct elf_segment s;
	u32 number, i;

	if (!find_program_headers(space, engine->view.instance, &headers, &number))
		return false;
	if (lac_read(space, headers, lac_scratch(engine), number * class->entry) ||
	    !load_bias(space, table, number, headers, &bias))
		return false;
	code->start = ~0ull;
	code->lowest = ~0ull;
	code->end = 0;
	for (i = 0; i < number; i++) {
		s = load_segment(table + i * class->entry, engine->word);
		if (s.type != PT_LOAD)
			continue;
		start = wrap(s.va + bias, engine->word);
		end = wrap(s.va + s.file_size + bias, engine->word);
		code->lowest = min(code->lowest, start);
		if (!(s.flags & PF_X))
			continue;
		code->start = min(code->start, start);
		if (code->end < end)
			code->end = end;
	}
	return code->start < code->end;
}

static enum lac_outcome code_bound(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
				   u32 candidate, const u8 *bytes)
{
	const struct lac_view *view = &engine->view;
	u64 value = lac_load_word(engine, bytes);

	if (!view->code_known)
		return LAC_UNKNOWN;
	if (p->kind == LACUNA_CODE_END)
		return fits_if(value == view->code.end);
	return fits_if(value == view->code.start || value == view->code.lowest);
}

void lac_code_bound(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct lac_view *view = &engine->view;

	if (view->told_by_others)
		return;
	if (!view->code_read) {
		view->code_known = read_code(engine, &view->code);
		view->code_read = true;
	}
	lac_ask_each(engine, hunt, p, view->instance, code_bound,
		     view->code_known ? LAC_REFUTED : LAC_UNKNOWN);
}
