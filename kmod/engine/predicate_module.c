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
		if (lac_read(&view->space, pointer, to, size) || !lac_is_text((u8 *)to, size))
			continue;
		engine->echo_words[view->echoes_nr++] = (u16)((u32)(offset - w->low) / w->word);
	}
}

/* The word that has led to the echo before does so again, most likely. */
static bool echoes_again(struct lac_engine *engine, const char *text, u32 size)
{
	struct lac_window *w = engine->view.instance;
	u64 pointer;

	return engine->echo && lac_word(w, w->low + engine->echo * w->word, &pointer) &&
	       lac_is_kernel(&engine->view.space, pointer) &&
	       !lac_read(&engine->view.space, pointer, lac_scratch(engine), size) && lac_is_text(lac_scratch(engine), size) &&
	       !strcmp((const char *)lac_scratch(engine), text);
}

/* Two characters at least: one alone could be met by chance. */
static enum lac_outcome text_echoed(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
				    u32 candidate, const u8 *bytes)
{
	struct lac_view *view = &engine->view;
	const char *text = (const char *)bytes;
	u32 i;

	if (!lac_is_text(bytes, hunt->size) || !bytes[1])
		return LAC_REFUTED;
	if (hunt->alive == 1 && echoes_again(engine, text, hunt->size))
		return LAC_FITS;
	if (!view->echoes_read)
		read_echoes(engine, hunt->size);
	for (i = 0; i < view->echoes_nr; i++) {
		if (strcmp(engine->echoes[i], text))
			continue;
		engine->echo = engine->echo_words[i];
		return LAC_FITS;
	}
	return LAC_REFUTED;
}

void lac_text_echoed(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	lac_ask_each(engine, hunt, p, engine->view.instance, text_echoed, LAC_ASK_ZEROS);
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

static enum lac_outcome text_part(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
				  u32 candidate, const u8 *bytes)
{
	return fits_if(lac_load_word(engine, bytes) == engine->view.text);
}

static enum lac_outcome not_known(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
				  u32 candidate, const u8 *bytes)
{
	return LAC_UNKNOWN;
}

void lac_text_part(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct lac_view *view = &engine->view;

	if (!view->initialising && !view->parts_read)
		find_text(&engine->facts, view);
	if (view->initialising || !view->text)
		return lac_ask_each(engine, hunt, p, view->instance, not_known, LAC_UNKNOWN);
	lac_ask_each(engine, hunt, p, view->instance, text_part, LAC_REFUTED);
}

/* Where the modules on the list have their text; @offset: where they say it. Read once for all modules of an event. */
static void read_bases(struct lac_engine *engine, s32 offset)
{
	struct lac_space *space = &engine->view.space;
	u64 head = engine->facts.modules, node = head, next;
	struct lac_window *row = &engine->row;
	s32 low = min(offset, 0), high = max(offset, 0) + engine->word;
	u32 i;

	engine->view.bases_read = true;
	engine->view.bases_nr = 0;
	if (!lac_is_kernel(space, head) || lac_read_word(space, head, &node))
		return;
	for (i = 0; i < LAC_MAX_LISTED_MODULES && node != head; i++, node = next) {
		if (node % engine->word || !lac_is_kernel(space, node))
			break;
		lac_window_set(row, space, node, low, high);
		if (lac_word(row, offset, &engine->bases[engine->view.bases_nr]))
			engine->view.bases_nr++;
		if (!lac_word(row, 0, &next))
			break;
	}
}

/* Where the first part of a module starts that lies behind @base; @offset: where modules say where their text starts. */
static u64 next_part(struct lac_engine *engine, u64 base, s32 offset)
{
	struct lac_view *view = &engine->view;
	u64 next = ~0ull;
	u32 i;

	if (!view->bases_read)
		read_bases(engine, offset);
	for (i = 0; i < view->bases_nr; i++)
		if (engine->bases[i] > base)
			next = min(next, engine->bases[i]);
	return next;
}

static bool is_filled(const u8 *bytes, u32 size, u8 with)
{
	return bytes[0] == with && !memcmp(bytes, bytes + 1, size - 1);
}

/* Executable memory that is not in use is filled with INT3 (execmem_fill_trapping_insns(), 6.13 and later). */
static bool is_unused(struct lac_engine *engine, u64 va)
{
	return !lac_read(&engine->view.space, va, lac_scratch(engine), LAC_PAGE_SIZE) &&
	       is_filled(lac_scratch(engine), LAC_PAGE_SIZE, 0xcc);
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

/*
 * Bytes of the module's text: as far as memory is executable, and where modules share an executable page
 * (CONFIG_ARCH_HAS_EXECMEM_ROX, 6.16 and later) up to where something else starts or nothing is. But there may be what nobody
 * tells of: thunks against a processor's flaws (its_init_mod()), init parts that are about to be freed. So the page before the
 * end must be the first one that text does not fill. 0: cannot be told, also because nothing there keeps text from data (no
 * CONFIG_STRICT_MODULE_RWX).
 */
static u64 text_extent(struct lac_engine *engine, u64 base, s32 offset)
{
	struct lac_space *space = &engine->view.space;
	u8 tail[LAC_TEXT_SLACK];
	struct lac_page page;
	bool last = false;
	u64 next, va;
	u32 i;

	if (is_executable(space, engine->view.instance->at))
		return extent_up_to_note(engine, base);
	next = next_part(engine, base, offset);
	for (i = 0; i < LAC_MAX_EXTENT; i++) {
		va = base + (u64)i * LAC_PAGE_SIZE;
		if (va >= next || lac_translate(space, va, &page) || !(page.rights & LAC_EXEC))
			return last ? va - base : 0;
		/* the end of the page says first whether it can be one that is not in use */
		if (lac_read(space, va + LAC_PAGE_SIZE - sizeof(tail), tail, sizeof(tail)))
			return 0;
		if (is_filled(tail, sizeof(tail), 0xcc) && is_unused(engine, va))
			return last ? va - base : 0;
		if (last || page.rights & LAC_WRITE)
			return 0;
		/* what a module's text leaves of its last page is zero: its memory is cleared before it is copied there (move_module()) */
		last = is_filled(tail, sizeof(tail), 0);
	}
	return 0;
}

static enum lac_outcome extent(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p,
			       u32 candidate, const u8 *bytes)
{
	return fits_if((u32)lac_load(engine, LACUNA_TYPE_INT, bytes) == engine->view.extent);
}

void lac_extent(struct lac_engine *engine, struct lac_hunt *hunt, const struct lacuna_predicate *p)
{
	struct lac_view *view = &engine->view;
	s32 base_offset;
	u64 base;

	if (view->initialising || !lac_known(engine, p->member))
		return;
	base_offset = lac_known_offset(engine, p->member);
	if (!view->parts_read)
		find_text(&engine->facts, view);
	if (!view->extent_read) {
		view->extent = 0;
		if (lac_word(view->instance, base_offset, &base) && base == view->text && base)
			view->extent = text_extent(engine, base, base_offset);
		view->extent_read = true;
	}
	lac_ask_each(engine, hunt, p, view->instance, view->extent ? extent : not_known,
		     view->extent ? LAC_REFUTED : LAC_UNKNOWN);
}
