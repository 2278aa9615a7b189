// SPDX-License-Identifier: GPL-2.0-only
/* The predicates: what a constraint set can ask of a candidate. constraints/README.md says what each one rests on. */
#include "internal.h"

static bool is_text(const u8 *bytes, u32 size)
{
	u32 i;

	for (i = 0; i < size && bytes[i]; i++)
		if (bytes[i] < 0x20 || bytes[i] > 0x7e)
			return false;
	return i > 0 && i < size;
}

static bool read_value(const struct lac_window *window, u8 type, s32 offset, s64 *value)
{
	s32 number;
	u64 word;

	if (type == LACUNA_TYPE_INT) {
		if (!lac_int(window, offset, &number))
			return false;
		*value = number;
		return true;
	}
	if (!lac_word(window, offset, &word))
		return false;
	*value = window->word == 4 ? (s32)word : (s64)word;
	return true;
}

static enum lac_outcome fits_if(bool fits)
{
	return fits ? LAC_FITS : LAC_REFUTED;
}

static enum lac_outcome anchor_text(struct lac_engine *engine, const struct lac_hunt *hunt,
				    const struct lacuna_predicate *p, s32 offset)
{
	u32 size = hunt->size;
	const u8 *bytes = lac_bytes(engine->view.anchor, offset, size);

	if (!bytes)
		return LAC_UNKNOWN;
	return fits_if(is_text(bytes, size) && !memcmp(bytes, p->text, strlen(p->text)));
}

static enum lac_outcome anchor_value(struct lac_engine *engine, const struct lac_hunt *hunt,
				     const struct lacuna_predicate *p, s32 offset)
{
	s64 value;

	if (!read_value(engine->view.anchor, hunt->member->type, offset, &value))
		return LAC_UNKNOWN;
	return fits_if(value == p->arg[0]);
}

static enum lac_outcome range(struct lac_engine *engine, const struct lac_hunt *hunt,
			      const struct lacuna_predicate *p, s32 offset)
{
	s64 value;

	if (!read_value(engine->view.instance, hunt->member->type, offset, &value))
		return LAC_UNKNOWN;
	return fits_if(p->arg[0] <= value && value <= p->arg[1]);
}

static enum lac_outcome text(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	const u8 *bytes = lac_bytes(engine->view.instance, offset, hunt->size);

	return bytes ? fits_if(is_text(bytes, hunt->size)) : LAC_UNKNOWN;
}

/* The texts that pointers in the instance lead to. */
static void read_echoes(struct lac_engine *engine, u32 size)
{
	struct lac_view *view = &engine->view;
	const struct lac_window *w = view->instance;
	u64 pointer;
	s32 offset;
	char *to;

	view->echoes_read = true;
	for (offset = w->low; offset < w->low + (s32)w->size && view->echoes_nr < LAC_MAX_ECHOES; offset += w->word) {
		if (!lac_word(w, offset, &pointer) || !lac_is_kernel(&view->space, pointer))
			continue;
		to = engine->echoes[view->echoes_nr];
		if (!lac_read(&view->space, pointer, to, size) && is_text((u8 *)to, size))
			view->echoes_nr++;
	}
}

/* Two characters at least: one alone could be met by chance. */
static enum lac_outcome text_echoed(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	struct lac_view *view = &engine->view;
	u32 size = hunt->size, i;
	const u8 *bytes = lac_bytes(view->instance, offset, size);

	if (!bytes)
		return LAC_UNKNOWN;
	if (!is_text(bytes, size) || !bytes[1])
		return LAC_REFUTED;
	if (!view->echoes_read)
		read_echoes(engine, size);
	for (i = 0; i < view->echoes_nr; i++)
		if (!strcmp(engine->echoes[i], (const char *)bytes))
			return LAC_FITS;
	return LAC_REFUTED;
}

static bool read_links(struct lac_space *space, u64 node, u64 links[2])
{
	return !(node % space->word) && lac_is_kernel(space, node) && !lac_read_word(space, node, &links[0]) &&
	       !lac_read_word(space, node + space->word, &links[1]);
}

/*
 * Follows the ring through the anchor at @offset and keeps its instances in engine->ring. 0: not a ring; also when it is
 * longer than is followed. A ring of one is what a list head that is not in use looks like.
 */
static u32 walk_ring(struct lac_engine *engine, s32 offset)
{
	struct lac_space *space = &engine->view.space;
	u64 first = engine->facts.init_task + (s64)offset, node = first, previous, links[2];
	u32 number = 0;

	if (!read_links(space, node, links))
		return 0;
	do {
		if (number == LAC_MAX_RING)
			return 0;
		engine->ring[number++] = node - (s64)offset;
		previous = node;
		node = links[0];
		if (!read_links(space, node, links) || links[1] != previous)
			return 0;
	} while (node != first);
	return number;
}

/*
 * All nodes must be in tasks with a name: a ring that runs through a list head outside of a task has one instance that is
 * none. Of the tasks known to be alive at least half must be on it: threads other than the leader are not. But a task may
 * call itself anything, and most tasks may be threads: such a ring is not seen at work, and not refuted either.
 */
static enum lac_outcome ring(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	u32 size = engine->hunts[p->member].size, number, known = 0, i;
	s32 text_offset;

	if (!lac_known(engine, p->member))
		return LAC_SILENT;
	text_offset = lac_known_offset(engine, p->member);
	engine->view.ring_read = false;
	number = walk_ring(engine, offset);
	if (!number)
		return LAC_REFUTED;
	if (number < LAC_MIN_RING)
		return LAC_SILENT;
	for (i = 0; i < number; i++) {
		if (lac_read(&engine->view.space, engine->ring[i] + (s64)text_offset, engine->page, size) ||
		    !is_text(engine->page, size))
			return LAC_SILENT;
		known += lac_live_has(&engine->live, engine->ring[i]);
	}
	return 2 * known >= engine->live.used ? LAC_FITS : LAC_SILENT;
}

static bool value_is_new(struct lac_engine *engine, u32 value)
{
	u32 slot = value * 0x9e3779b1u % ARRAY_SIZE(engine->values);

	while (engine->values[slot]) {
		if (engine->values[slot] == value + 1)
			return false;
		slot = (slot + 1) % ARRAY_SIZE(engine->values);
	}
	engine->values[slot] = value + 1;
	return true;
}

/* Is the ring still the one in engine->ring? */
static bool ring_is_same(struct lac_engine *engine, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 links[2];
	u32 i;

	for (i = 0; i < view->ring_nr; i++)
		if (!read_links(&view->space, engine->ring[i] + (s64)offset, links) ||
		    links[0] != engine->ring[(i + 1) % view->ring_nr] + (s64)offset)
			return false;
	return true;
}

/*
 * The list of tasks starts with init_task (0), process 1 and kthreadd (2) in this order: rest_init() makes sure of the
 * numbers (2.6.23 and later), and neither ever exits.
 */
static enum lac_outcome ring_counts(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 value;
	u32 i;

	if (!lac_known(engine, p->member))
		return LAC_SILENT;
	if (!view->ring_read) {
		view->ring_nr = walk_ring(engine, lac_known_offset(engine, p->member));
		view->ring_read = true;
	}
	if (view->ring_nr < LAC_MIN_RING)
		return LAC_UNKNOWN;
	memset(engine->values, 0, sizeof(engine->values));
	for (i = 0; i < view->ring_nr; i++) {
		if (lac_read(&view->space, engine->ring[i] + (s64)offset, &value, sizeof(value)) || value < 0)
			return LAC_REFUTED;
		if (i < LAC_MIN_RING && value != (s32)i)
			return LAC_REFUTED;
		/* it may be a task that has gone since the ring was walked */
		if (!value_is_new(engine, (u32)value))
			return ring_is_same(engine, lac_known_offset(engine, p->member)) ? LAC_REFUTED : LAC_UNKNOWN;
	}
	return LAC_FITS;
}

static enum lac_outcome unique(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 mine, other;
	u32 i;

	if (hunt->alive > LAC_MAX_COSTLY)
		return LAC_SILENT;
	if (!lac_int(view->instance, offset, &mine))
		return LAC_UNKNOWN;
	for (i = 0; i < LAC_LIVE_SLOTS; i++) {
		u64 task = engine->live.slots[i];

		if (!task || task == view->instance->at)
			continue;
		if (!lac_read(&view->space, task + (s64)offset, &other, sizeof(other)) && other == mine)
			return LAC_REFUTED;
	}
	return LAC_FITS;
}

static bool is_id(const struct lac_view *view, s32 value)
{
	u32 i;

	for (i = 0; i < view->ids_nr; i++)
		if (view->ids[i] == value)
			return true;
	return false;
}

static bool is_value_of_candidate(const struct lac_hunt *hunt, const struct lac_window *w, s32 number)
{
	s32 value;
	u32 i;

	for (i = 0; i < hunt->number; i++)
		if (lac_alive(hunt, i) && lac_int(w, lac_offset(hunt, i), &value) && value == number)
			return true;
	return false;
}

static bool is_user(struct lac_space *space, u64 va)
{
	struct lac_page page;

	return va >= LAC_PAGE_SIZE && !lac_translate(space, va, &page) && page.rights & LAC_USER;
}

static void read_ids(struct lac_engine *engine, const struct lac_hunt *hunt)
{
	struct lac_view *view = &engine->view;
	const struct lac_window *w = view->instance;
	u64 pointer;
	s32 offset, value;
	u16 *told;

	view->ids_for = hunt;
	view->ids_nr = 0;
	for (offset = w->low; offset < w->low + (s32)w->size && view->ids_nr < LAC_MAX_IDS; offset += w->word) {
		if (!lac_word(w, offset, &pointer) || pointer % 4 || !is_user(&view->space, pointer) ||
		    lac_read(&view->space, pointer, &value, sizeof(value)) || value < LAC_MIN_ID ||
		    !is_value_of_candidate(hunt, w, value))
			continue;
		told = &engine->told[(u32)(offset - w->low) / 4];
		if (*told < 0xffff)
			++*told;
		engine->told_most = max(engine->told_most, *told);
		/* the task's own pointer does so again and again, one that does by chance or is the next task's does not */
		if (2 * *told >= engine->told_most)
			view->ids[view->ids_nr++] = value;
	}
}

/*
 * C libraries have the kernel write a thread's number into the thread's own memory (CLONE_CHILD_SETTID) or write it there
 * themselves, and tell the kernel the place with CLONE_CHILD_CLEARTID or set_tid_address(2), which a task keeps as long as
 * it lives. When one of the candidates is what stands there, the others are not the number user space knows. When none is,
 * as in a pid namespace or in a thread whose library keeps no number, nothing can be said.
 */
static enum lac_outcome thread_id(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 mine;

	if (hunt->alive > LAC_MAX_COSTLY)
		return LAC_SILENT;
	if (!lac_int(view->instance, offset, &mine))
		return LAC_UNKNOWN;
	if (view->ids_for != hunt)
		read_ids(engine, hunt);
	return view->ids_nr ? fits_if(is_id(view, mine)) : LAC_SILENT;
}

/* The root is aligned, so of a pointer to it the low bits are zero. */
static bool points_to_root(struct lac_view *view, u64 pointer)
{
	struct lac_page page;

	return !(pointer % lac_root_alignment(&view->space)) && lac_is_kernel(&view->space, pointer) &&
	       !lac_translate(&view->space, pointer, &page) && page.gpa == view->space.root;
}

static bool holds_root(struct lac_engine *engine, u64 from, u32 size)
{
	u32 part, i, word = engine->word;
	u64 to = from + size, pointer;

	for (; from < to; from += part) {
		part = min((u32)(to - from), LAC_PAGE_SIZE - (u32)(from % LAC_PAGE_SIZE));
		if (lac_read(&engine->view.space, from, engine->page, part))
			continue;
		for (i = 0; i + word <= part; i += word) {
			pointer = 0;
			memcpy(&pointer, engine->page + i, word); /* little-endian, as all x86 */
			if (points_to_root(&engine->view, pointer))
				return true;
		}
	}
	return false;
}

/*
 * Of a user process. A kernel thread has no address space of its own and runs on the kernel's or on a borrowed one: on the
 * kernel's nothing can be said, since what is near may well lead to init_mm.
 */
static enum lac_outcome leads_to_root(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	u64 pointer;

	if (!lac_word(engine->view.instance, offset, &pointer))
		return LAC_UNKNOWN;
	if (!pointer || engine->view.space.root == engine->kernel_root)
		return LAC_SILENT;
	return fits_if(!(pointer % engine->word) && lac_is_kernel(&engine->view.space, pointer) &&
		       holds_root(engine, pointer, (u32)p->arg[0]));
}

static enum lac_outcome is_root(struct lac_engine *engine, s32 offset)
{
	u64 pointer;

	if (!lac_word(engine->view.instance, offset, &pointer))
		return LAC_UNKNOWN;
	return fits_if(points_to_root(&engine->view, pointer));
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
static bool find_program_headers(struct lac_space *space, const struct lac_window *w, u64 *headers, u32 *number)
{
	u64 pair[6];
	s32 offset;
	u32 i;

	for (offset = w->low; offset < w->low + (s32)w->size; offset += w->word) {
		for (i = 0; i < ARRAY_SIZE(pair); i++)
			if (!lac_word(w, offset + (s32)(i * w->word), &pair[i]))
				break;
		if (i < ARRAY_SIZE(pair) || pair[0] != 3 || pair[2] != 4 || pair[4] != 5)
			continue;
		if (pair[3] != elf_class(w->word)->entry || !pair[5] || pair[5] > ELF_MAX_PHNUM ||
		    !is_user(space, pair[1]))
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
	const u8 *table = engine->page;
	u64 headers, bias, start, end;
	struct elf_segment s;
	u32 number, i;

	if (!find_program_headers(space, engine->view.instance, &headers, &number))
		return false;
	if (lac_read(space, headers, engine->page, number * class->entry) ||
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

static enum lac_outcome code_bound(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 value;

	if (!lac_word(view->instance, offset, &value))
		return LAC_UNKNOWN;
	if (!view->code_read) {
		view->code_known = read_code(engine, &view->code);
		view->code_read = true;
	}
	if (!view->code_known)
		return LAC_UNKNOWN;
	if (p->kind == LACUNA_CODE_END)
		return fits_if(value == view->code.end);
	return fits_if(value == view->code.start || value == view->code.lowest);
}

static bool is_executable(struct lac_space *space, u64 va)
{
	struct lac_page page;

	return !lac_translate(space, va, &page) && page.rights & LAC_EXEC;
}

/*
 * Could text of a module start here? The kernel's own is not meant. Where data is executable too, as in an i386 kernel without
 * PAE, text is at least never writable (CONFIG_STRICT_MODULE_RWX).
 */
static bool is_text_page(const struct lac_facts *facts, struct lac_view *view, u64 va)
{
	struct lac_page page;

	return !(va % LAC_PAGE_SIZE) && lac_is_kernel(&view->space, va) && !(facts->text <= va && va < facts->end) &&
	       !lac_translate(&view->space, va, &page) && page.rights & LAC_EXEC &&
	       (view->nx_tells || !(page.rights & LAC_WRITE));
}

/*
 * Of the parts with text that the instance names, the init function lies in the init part: the one that starts last before
 * it. With a single part there is nothing to tell apart. A module that was initialised long ago has given its init part back
 * (do_init_module()), and what may still point there leads to nothing, unless another module has text there now: of one
 * that seems to have two parts nothing is known.
 */
static void find_init_part(const struct lac_facts *facts, struct lac_view *view)
{
	const struct lac_window *w = view->instance;
	u64 value, other = 0;
	bool two = false;
	s32 offset;

	view->parts_read = true;
	view->init_part = 0;
	view->nx_tells = !is_executable(&view->space, w->at) || !is_executable(&view->space, facts->init_task);
	for (offset = w->low; offset < w->low + (s32)w->size; offset += w->word) {
		if (!lac_word(w, offset, &value) || !is_text_page(facts, view, value))
			continue;
		two |= other && other != value;
		other = value;
		if (value <= view->event->subject && value > view->init_part)
			view->init_part = value;
	}
	if (view->event->subject == LAC_LISTED_MODULE)
		view->init_part_known = other && !two;
	else
		view->init_part_known = two && view->init_part;
}

static enum lac_outcome text_part(struct lac_engine *engine, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 value;

	if (!lac_word(view->instance, offset, &value))
		return LAC_UNKNOWN;
	if (!view->parts_read)
		find_init_part(&engine->facts, view);
	if (!view->init_part_known)
		return LAC_UNKNOWN;
	return fits_if(value != view->init_part && is_text_page(&engine->facts, view, value));
}

/* Where the first part of a module starts that lies behind @base; @offset: where modules say where their text starts. */
static u64 next_part(struct lac_engine *engine, u64 base, s32 offset)
{
	struct lac_space *space = &engine->view.space;
	u64 head = engine->facts.modules, node = head, next = ~0ull, links[2], text;
	u32 i;

	if (engine->view.init_part_known && engine->view.init_part > base)
		next = engine->view.init_part;
	for (i = 0; i < LAC_MAX_LISTED_MODULES; i++) {
		if (!read_links(space, node, links) || links[0] == head)
			break;
		node = links[0];
		if (!lac_read_word(space, node + (s64)offset, &text) && text > base)
			next = min(next, text);
	}
	return next;
}

static bool is_filled(const u8 *bytes, u32 size, u8 with)
{
	return bytes[0] == with && !memcmp(bytes, bytes + 1, size - 1);
}

/* Executable memory that is not in use is filled with INT3 (execmem_fill_trapping_insns(), 6.13 and later). */
static bool is_unused(struct lac_engine *engine, u64 va)
{
	u8 *page = engine->page;
	u32 i, part;

	for (i = 0; i < LAC_PAGE_SIZE; i += part) {
		part = i ? LAC_PAGE_SIZE - i : 16; /* most pages say no with their first bytes */
		if (lac_read(&engine->view.space, va + i, page, part) || !is_filled(page, part, 0xcc))
			return false;
	}
	return true;
}

/*
 * Behind a module's text lies what is only read, and of that its notes come first: its build id ("GNU") or what the kernel's
 * build adds ("Linux"). An ELF note: the sizes of name and description, a type, the name (System V ABI, chapter 5).
 */
static bool is_note(struct lac_engine *engine, u64 va)
{
	u32 head[3];
	char name[6];

	if (lac_read(&engine->view.space, va, head, sizeof(head)) ||
	    lac_read(&engine->view.space, va + sizeof(head), name, sizeof(name)))
		return false;
	return (head[0] == 4 && !memcmp(name, "GNU", 4)) || (head[0] == 6 && !memcmp(name, "Linux", 6));
}

/* As text_extent(), where data is executable as well. */
static u64 extent_up_to_note(struct lac_engine *engine, u64 base)
{
	struct lac_page page;
	u64 va;
	u32 i;

	for (i = 0; i < LAC_MAX_EXTENT; i++) {
		va = base + (u64)i * LAC_PAGE_SIZE;
		if (lac_translate(&engine->view.space, va, &page) || page.rights & LAC_WRITE)
			return 0;
		if (is_note(engine, va))
			return va - base;
	}
	return 0;
}

/* What a module's text leaves of its last page is zero: its memory is cleared before it is copied there (move_module()). */
static bool ends_in_zeros(struct lac_engine *engine, u64 va)
{
	u64 tail = va + LAC_PAGE_SIZE - LAC_TEXT_SLACK;

	return !lac_read(&engine->view.space, tail, engine->page, LAC_TEXT_SLACK) &&
	       is_filled(engine->page, LAC_TEXT_SLACK, 0);
}

/*
 * Bytes of the module's text: as far as memory is executable, and where modules share an executable page
 * (CONFIG_ARCH_HAS_EXECMEM_ROX, 6.16 and later) up to where something else starts or nothing is. But there may be what nobody
 * tells of: thunks against a processor's flaws (its_init_mod()), init parts that are about to be freed. So the page before the
 * end must be the first one that text does not fill. 0: cannot be told, also because nothing there keeps text from data (no
 * CONFIG_STRICT_MODULE_RWX).
 */
static u64 text_extent(struct lac_engine *engine, u64 base, s32 offset)
{
	u64 next, va;
	struct lac_page page;
	bool last = false;
	u32 i;

	if (is_executable(&engine->view.space, engine->view.instance->at))
		return extent_up_to_note(engine, base);
	next = next_part(engine, base, offset);
	for (i = 0; i < LAC_MAX_EXTENT; i++) {
		va = base + (u64)i * LAC_PAGE_SIZE;
		if (va >= next || lac_translate(&engine->view.space, va, &page) || !(page.rights & LAC_EXEC) ||
		    is_unused(engine, va))
			return last ? va - base : 0;
		if (last || page.rights & LAC_WRITE)
			return 0;
		last = ends_in_zeros(engine, va);
	}
	return 0;
}

static enum lac_outcome extent(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 value, base_offset;
	u64 base;

	if (!lac_known(engine, p->member))
		return LAC_SILENT;
	base_offset = lac_known_offset(engine, p->member);
	if (!lac_int(view->instance, offset, &value) || !lac_word(view->instance, base_offset, &base))
		return LAC_UNKNOWN;
	if (!view->parts_read)
		find_init_part(&engine->facts, view);
	if (!view->extent_read) {
		view->extent = base % LAC_PAGE_SIZE ? 0 : text_extent(engine, base, base_offset);
		view->extent_read = true;
	}
	if (!view->extent)
		return LAC_UNKNOWN;
	return fits_if((u32)value == view->extent);
}

static enum lac_outcome null_at_times(struct lac_engine *engine, struct lac_hunt *hunt, s32 offset)
{
	u8 *seen = &hunt->nulls[(u32)(offset - hunt->low) / hunt->align];
	u64 pointer;

	if (!lac_word(engine->view.instance, offset, &pointer))
		return LAC_UNKNOWN;
	*seen |= !pointer;
	return *seen ? LAC_SILENT : LAC_UNKNOWN;
}

enum lac_outcome lac_ask(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
			 s32 offset)
{
	switch (p->kind) {
	case LACUNA_ANCHOR_TEXT:
		return anchor_text(engine, hunt, p, offset);
	case LACUNA_ANCHOR_VALUE:
		return anchor_value(engine, hunt, p, offset);
	case LACUNA_RANGE:
		return range(engine, hunt, p, offset);
	case LACUNA_TEXT:
		return text(engine, hunt, offset);
	case LACUNA_TEXT_ECHOED:
		return text_echoed(engine, hunt, offset);
	case LACUNA_RING:
		return ring(engine, p, offset);
	case LACUNA_RING_COUNTS:
		return ring_counts(engine, p, offset);
	case LACUNA_UNIQUE:
		return unique(engine, hunt, offset);
	case LACUNA_THREAD_ID:
		return thread_id(engine, hunt, offset);
	case LACUNA_LEADS_TO_ROOT:
		return leads_to_root(engine, p, offset);
	case LACUNA_IS_ROOT:
		return is_root(engine, offset);
	case LACUNA_CODE_START:
	case LACUNA_CODE_END:
		return code_bound(engine, p, offset);
	case LACUNA_TEXT_PART:
		return text_part(engine, offset);
	case LACUNA_EXTENT:
		return extent(engine, p, offset);
	case LACUNA_NULL_AT_TIMES:
		return null_at_times(engine, hunt, offset);
	}
	return LAC_SILENT;
}
