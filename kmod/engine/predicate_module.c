// SPDX-License-Identifier: GPL-2.0-only
/* What can be asked of a module. constraints/README.md says what each predicate rests on. */
#include "predicate.h"

/* The texts that pointers in the instance lead to. */
static void read_echoes(struct lac_engine *engine, u32 size)
{
	struct lac_view *view = &engine->view;
	struct lac_window *w = view->instance;
	u64 pointer;
	s32 offset;
	char *to;

	view->echoes_read = true;
	for (offset = w->low; offset < w->low + (s32)w->size && view->echoes_nr < LAC_MAX_ECHOES; offset += w->word) {
		if (!lac_word(w, offset, &pointer) || !lac_is_kernel(&view->space, pointer))
			continue;
		to = engine->echoes[view->echoes_nr];
		if (!lac_read(&view->space, pointer, to, size) && lac_is_text((u8 *)to, size))
			view->echoes_nr++;
	}
}

/* Two characters at least: one alone could be met by chance. */
enum lac_outcome lac_text_echoed(struct lac_engine *engine, const struct lac_hunt *hunt, s32 offset)
{
	struct lac_view *view = &engine->view;
	u32 size = hunt->size, i;
	const u8 *bytes = lac_bytes(view->instance, offset, size);

	if (!bytes)
		return LAC_UNKNOWN;
	if (!lac_is_text(bytes, size) || !bytes[1])
		return LAC_REFUTED;
	if (!view->echoes_read)
		read_echoes(engine, size);
	for (i = 0; i < view->echoes_nr; i++)
		if (!strcmp(engine->echoes[i], (const char *)bytes))
			return LAC_FITS;
	return LAC_REFUTED;
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
 * Which of its parts a module keeps is seen once it has been initialised: its init part is given back then (do_init_module()), and
 * what may still point there leads to nothing, unless another module has text there now. Of one that names two parts nothing is
 * known. Where its init function lies tells nothing: that need not be __init, and a kernel built with clang's jump tables against
 * forged calls (CONFIG_CFI_CLANG, up to 6.0) calls it through an entry in the part that stays.
 */
static void find_text(const struct lac_facts *facts, struct lac_view *view)
{
	struct lac_window *w = view->instance;
	u64 value;
	s32 offset;

	view->parts_read = true;
	view->text = 0;
	view->nx_tells = !is_executable(&view->space, w->at) || !is_executable(&view->space, facts->init_task);
	for (offset = w->low; offset < w->low + (s32)w->size; offset += w->word) {
		if (!lac_word(w, offset, &value) || value == view->text || !is_text_page(facts, view, value))
			continue;
		if (view->text) {
			view->text = 0;
			return;
		}
		view->text = value;
	}
}

enum lac_outcome lac_text_part(struct lac_engine *engine, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 value;

	if (view->initialising || !lac_word(view->instance, offset, &value))
		return LAC_UNKNOWN;
	if (!view->parts_read)
		find_text(&engine->facts, view);
	if (!view->text)
		return LAC_UNKNOWN;
	return fits_if(value == view->text);
}

/* Where the first part of a module starts that lies behind @base; @offset: where modules say where their text starts. */
static u64 next_part(struct lac_engine *engine, u64 base, s32 offset)
{
	struct lac_space *space = &engine->view.space;
	u64 head = engine->facts.modules, node = head, next = ~0ull, links[2], text;
	u32 i;

	for (i = 0; i < LAC_MAX_LISTED_MODULES; i++) {
		if (!lac_read_links(space, node, links) || links[0] == head)
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

enum lac_outcome lac_extent(struct lac_engine *engine, const struct lacuna_predicate *p, s32 offset)
{
	struct lac_view *view = &engine->view;
	s32 value, base_offset;
	u64 base;

	if (view->initialising || !lac_known(engine, p->member))
		return LAC_SILENT;
	base_offset = lac_known_offset(engine, p->member);
	if (!lac_int(view->instance, offset, &value) || !lac_word(view->instance, base_offset, &base))
		return LAC_UNKNOWN;
	if (!view->parts_read)
		find_text(&engine->facts, view);
	if (view->text != base)
		return LAC_UNKNOWN;
	if (!view->extent_read) {
		view->extent = base % LAC_PAGE_SIZE ? 0 : text_extent(engine, base, base_offset);
		view->extent_read = true;
	}
	if (!view->extent)
		return LAC_UNKNOWN;
	return fits_if((u32)value == view->extent);
}
