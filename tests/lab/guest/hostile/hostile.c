// SPDX-License-Identifier: GPL-2.0-only
/*
 * Loaded by a lab guest before its first process: for some seconds a thread on each CPU comes to the trap sites again and again, in
 * address spaces of its own in which nothing is true but the kernel's code, with nonsense in its registers. Then it goes on as if
 * nothing had been.
 *
 * An address space is the kernel's with some of its tables replaced. Where a site is there is a copy of the page that leads back
 * here behind the trap; where init_task and the list of modules are there are copies with other contents; the rest may lead to
 * anywhere. Interrupts are off meanwhile, and nothing is used but registers, this module's own memory and its code, which are
 * in the part of the tables that stays: between the host and this CPU nothing else is needed.
 */
#include <linux/bug.h>
#include <linux/delay.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/prandom.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <asm/msr.h>
#include <asm/special_insns.h>

#define SECONDS 30
#define SEARCH_SECONDS 300 /* until it is hunted once more, if it was over too soon */
#define SITES 3
#define TRAP_LEN 3
#define SLED 16 /* no instruction is longer */
#define BATCH 8 /* times in a row, interrupts off */
#define STACK 256 /* words, for what is pushed by what the trap displaced */
#define NODES 6000 /* on a list that never comes back: more than anybody follows */
#define ENTRIES 512
#define LARGE (1ul << 21)
#define FAR (1ull << 38) /* no memory of the guest's is there */
#define FAR_STACK 0xffffffffbfe00800ull /* in the last large page of the kernel's image, which no kernel fills */

static const char *const functions[SITES] = { "kernel_clone", "release_task", "do_one_initcall" };

/* What a CPU needs to come back. */
struct way {
	u64 stack, root, gs;
	u64 room[STACK];
};

/* Of one address space; all of it in the direct map, whose addresses say where it is. */
struct space {
	struct way *way;
	u64 *root, *upper, *middle; /* tables, the last two of the kernel's image */
	u64 *small[2 * SITES]; /* instead of large pages of it */
	u64 replaced[2 * SITES]; /* which those are; 0: none */
	u8 *site[SITES]; /* the copies */
	u8 *init_task; /* of two pages */
	u8 *modules;
	u64 *loop; /* a table all of whose entries lead to itself */
	u64 *nowhere; /* one whose entries lead to where no memory is */
};

static unsigned long starts[SITES], sites[SITES], modules_at;
static u64 nodes_at;
static struct space *spaces[NR_CPUS];
static struct way ways[NR_CPUS]; /* in this module's memory, which every space maps */
static atomic_t rounds[SITES], running;

static unsigned long address_of(const char *name)
{
	static unsigned long (*lookup)(const char *name);
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };

	if (!lookup && !register_kprobe(&probe)) {
		lookup = (void *)probe.addr;
		unregister_kprobe(&probe);
	}
	return lookup ? lookup(name) : 0;
}

/* VMMCALL or VMCALL */
static const u8 *trap(void)
{
	static const u8 traps[][TRAP_LEN] = { { 0x0f, 0x01, 0xc1 }, { 0x0f, 0x01, 0xd9 } };

	return traps[boot_cpu_has(X86_FEATURE_VMMCALL)];
}

static bool fits(unsigned long site)
{
	return site % PAGE_SIZE + TRAP_LEN + SLED + 24 <= PAGE_SIZE;
}

/* Where a trap is in the function: the kernel itself has none there. */
static unsigned long find_site(u32 kind)
{
	unsigned long start = starts[kind], at;

	for (at = start; start && at < start + 64; at++)
		if (!memcmp((void *)at, trap(), TRAP_LEN) && fits(at))
			return at;
	return 0;
}

static void *new_pages(unsigned int number)
{
	void *pages = alloc_pages_exact(number * PAGE_SIZE, GFP_KERNEL | __GFP_ZERO);

	if (!pages)
		panic("hostile: out of memory");
	return pages;
}

/* A table entry that leads to a page of ours. */
static u64 entry_to(const void *page)
{
	return __pa(page) | _KERNPG_TABLE_NOENC;
}

static u64 *table_at(u64 entry)
{
	return __va(entry & PTE_PFN_MASK);
}

static u32 index_of(unsigned long va, u32 shift)
{
	return va >> shift & (ENTRIES - 1);
}

/* The table of small pages in place of the large one that holds @va. */
static u64 *split(struct space *space, unsigned long va)
{
	u64 *entry = &space->middle[index_of(va, 21)], *table;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(space->small); i++) {
		if (space->replaced[i] == va / LARGE)
			return space->small[i];
		if (!space->replaced[i])
			break;
	}
	table = new_pages(1);
	if (*entry & _PAGE_PSE)
		for (u32 page = 0; page < ENTRIES; page++)
			table[page] = ((*entry & PTE_PFN_MASK & ~(LARGE - 1)) + page * PAGE_SIZE) | __PAGE_KERNEL_EXEC;
	else
		memcpy(table, table_at(*entry), PAGE_SIZE);
	*entry = entry_to(table);
	space->small[i] = table;
	space->replaced[i] = va / LARGE;
	return table;
}

static void put_page_at(struct space *space, unsigned long va, const void *page)
{
	split(space, va)[index_of(va, 12)] = __pa(page) | __PAGE_KERNEL_EXEC;
}

static void copy_page_at(struct space *space, unsigned long va, void *page)
{
	memcpy(page, (void *)(va & PAGE_MASK), PAGE_SIZE);
	put_page_at(space, va, page);
}

extern const u8 hostile_back[];

/* A trap, be it one for the kernel just now or not; behind it nothing, then MOV $way,%r15 and JMP *0(%rip) to what stands behind it. */
static void lead_back(struct space *space, u8 *page, unsigned long site)
{
	static const u8 mov[] = { 0x49, 0xbf }, jump[] = { 0xff, 0x25, 0, 0, 0, 0 };
	u8 *at = page + site % PAGE_SIZE;
	u64 to = (u64)hostile_back;

	memcpy(at, trap(), TRAP_LEN);
	memset(at + TRAP_LEN, 0x90, SLED);
	at += TRAP_LEN + SLED;
	memcpy(at, mov, sizeof(mov));
	memcpy(at + sizeof(mov), &space->way, sizeof(space->way));
	at += sizeof(mov) + sizeof(space->way);
	memcpy(at, jump, sizeof(jump));
	memcpy(at + sizeof(jump), &to, sizeof(to));
}

static struct space *new_space(struct way *way)
{
	struct space *space = kzalloc(sizeof(*space), GFP_KERNEL);
	u64 *root = __va(read_cr3_pa());
	u32 i;

	if (!space)
		panic("hostile: out of memory");
	space->way = way;
	space->root = new_pages(1);
	space->upper = new_pages(1);
	space->middle = new_pages(1);
	memcpy(space->root, root, PAGE_SIZE);
	memcpy(space->upper, table_at(root[ENTRIES - 1]), PAGE_SIZE);
	memcpy(space->middle, table_at(space->upper[ENTRIES - 2]), PAGE_SIZE);
	space->root[ENTRIES - 1] = entry_to(space->upper);
	space->upper[ENTRIES - 2] = entry_to(space->middle);
	space->init_task = new_pages(4);
	for (i = 0; i < 4; i++)
		copy_page_at(space, (unsigned long)&init_task + i * PAGE_SIZE, space->init_task + i * PAGE_SIZE);
	space->modules = new_pages(1);
	copy_page_at(space, modules_at, space->modules);
	space->loop = new_pages(1);
	space->nowhere = new_pages(1);
	for (i = 0; i < ENTRIES; i++) {
		space->loop[i] = entry_to(space->loop);
		space->nowhere[i] = (FAR + i * PAGE_SIZE) | _KERNPG_TABLE_NOENC;
	}
	space->middle[ENTRIES - 1] = entry_to(space->nowhere);
	return space;
}

/* Not all are there from the beginning, nor up to the end. Two in one page are not expected. */
static void find_sites(struct space *space)
{
	u32 i;

	for (i = 0; i < SITES; i++) {
		if (!sites[i])
			sites[i] = find_site(i);
		if (!sites[i] || space->site[i])
			continue;
		space->site[i] = new_pages(1);
		copy_page_at(space, sites[i], space->site[i]);
		lead_back(space, space->site[i], sites[i]);
	}
}

/* A list of tasks with names that is longer than any, each a page of its own, and leads back into itself. */
static u64 new_nodes(void)
{
	u64 start = (u64)vmalloc(NODES * PAGE_SIZE), at;
	s64 name = (s64)offsetof(struct task_struct, comm) - (s64)offsetof(struct task_struct, tasks);
	u32 i;

	if (!start)
		panic("hostile: out of memory");
	for (i = 0; i < NODES; i++) {
		at = start + i * PAGE_SIZE + 0x400;
		((u64 *)at)[0] = start + (i + 1) % NODES * PAGE_SIZE + 0x400;
		((u64 *)at)[1] = start + (i ? i - 1 : NODES - 1) * PAGE_SIZE + 0x400;
		snprintf((char *)(at + name), TASK_COMM_LEN, "task %u", i);
	}
	return start + 0x400;
}

/* Something that a pointer could be, and hardly ever should. */
static u64 nonsense(void)
{
	u64 dice = get_random_u64();

	switch (dice % 12) {
	case 0:
		return 0;
	case 1:
		return dice;
	case 2:
		return 0xdead000000000000ull | dice >> 32; /* not canonical */
	case 3:
		return ~0ull - dice % 5000;
	case 4:
		return PAGE_OFFSET + (64ull << 40) - 8 - dice % 64; /* the direct map's end */
	case 5:
		return PAGE_OFFSET + (dice >> 20 & ~7ull) % (1ull << 30);
	case 6:
		return (u64)&init_task + (dice >> 32) % sizeof(init_task);
	case 7:
		return (u64)&init_task;
	case 8:
		return nodes_at + (dice >> 32) % NODES * PAGE_SIZE - offsetof(struct task_struct, tasks);
	case 9:
		return modules_at;
	case 10:
		return (u64)current;
	default:
		return 0xffff888000000000ull + ((dice >> 32) << PAGE_SHIFT) + PAGE_SIZE - 4; /* across pages */
	}
}

static void lie_about_tasks(struct space *space)
{
	u8 *task = space->init_task + (unsigned long)&init_task % PAGE_SIZE;
	u64 *links = (u64 *)(task + offsetof(struct task_struct, tasks)), i;

	memcpy(task, &init_task, sizeof(init_task));
	switch (get_random_u32() % 5) {
	case 0: /* without an end */
		links[0] = nodes_at;
		links[1] = nodes_at + PAGE_SIZE;
		*(u64 *)(nodes_at + 8) = (u64)&init_task.tasks;
		break;
	case 1: /* through itself */
		links[0] = links[1] = (u64)&init_task.tasks + 8 * (get_random_u32() % 3);
		break;
	case 2:
		for (i = 0; i < 64; i++)
			((u64 *)task)[get_random_u32() % (sizeof(init_task) / 8)] = nonsense();
		break;
	case 3: /* a list in every word */
		for (i = 0; i + 1 < sizeof(init_task) / 8; i++)
			((u64 *)task)[i] = (u64)&init_task + 8 * i;
		break;
	default:
		*(u64 *)(nodes_at + 8) = nodes_at + (NODES - 1) * PAGE_SIZE;
	}
}

static void lie_about_modules(struct space *space)
{
	u64 *list = (u64 *)(space->modules + modules_at % PAGE_SIZE);

	list[0] = get_random_u32() % 2 ? nonsense() : nodes_at;
	list[1] = nonsense();
}

/* Of what is not the kernel's image; the next CPU's space, too, while that may be in a trap. */
static void lie_about_memory(struct space *space)
{
	static const u64 entries[] = { 0, ~0ull, _PAGE_PRESENT | _PAGE_PSE, 0x0ffffffffffff067ull, 0xb8067ull };
	u64 *root = __va(read_cr3_pa());
	u32 i;

	for (i = ENTRIES / 2; i < ENTRIES - 1; i++) {
		switch (get_random_u32() % 16) {
		case 0:
			WRITE_ONCE(space->root[i], entries[get_random_u32() % ARRAY_SIZE(entries)]);
			break;
		case 1:
			WRITE_ONCE(space->root[i], entry_to(space->loop));
			break;
		case 2:
			WRITE_ONCE(space->root[i], entry_to(space->nowhere));
			break;
		case 3:
			WRITE_ONCE(space->root[i], entry_to(space->root));
			break;
		default:
			WRITE_ONCE(space->root[i], root[i]);
		}
	}
}

/*
 * To @site, in the tables at @root, with @argument in the registers, per-CPU data at @gs and the stack at @stack. What the trap
 * displaced may change any register, so the way back is told by what stands behind it.
 */
asmlinkage void hostile_go(u64 site, u64 root, u64 argument, struct way *way, u64 stack, u64 gs);
asm(".pushsection .text\n"
    "hostile_go:\n\t"
    "push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n\t"
    "mov %rcx, %r15\n\t"
    "mov %rsp, (%r15)\n\t"
    "mov %cr3, %rax; mov %rax, 8(%r15)\n\t"
    "mov %rdx, %r12; mov %rdi, %r11\n\t"
    "mov $0xc0000101, %ecx\n\t" /* MSR_GS_BASE */
    "mov %r9, %rax; mov %r9, %rdx; shr $32, %rdx; wrmsr\n\t"
    "mov %r8, %rsp\n\t"
    "mov %rsi, %cr3\n\t"
    "mov %r12, %rdi; mov %r12, %rax; mov %r12, %rsi; mov %r12, %rbx; mov %r12, %rbp; mov %r12, %rdx; mov %r12, %r13\n\t"
    "jmp *%r11\n"
    "hostile_back:\n\t"
    "mov 8(%r15), %rax; mov %rax, %cr3\n\t"
    "mov (%r15), %rsp\n\t"
    "mov $0xc0000101, %ecx; mov 16(%r15), %eax; mov 20(%r15), %edx; wrmsr\n\t"
    "pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx\n\t"
    "ret; int3\n"
    ".type hostile_go, @function; .size hostile_go, . - hostile_go\n"
    ".popsection\n");

static void write_cr4(unsigned long cr4)
{
	asm volatile("mov %0, %%cr4" : : "r"(cr4) : "memory");
}

static u64 canonical(u64 va)
{
	return (u64)((s64)(va << 16) >> 16);
}

static void go(struct space *space, u32 kind, u64 stack)
{
	struct way *way = space->way;
	u64 gs = get_random_u32() % 4 ? way->gs : canonical(nonsense());

	hostile_go(sites[kind], __pa(space->root), nonsense(), way, stack, gs);
	atomic_inc(&rounds[kind]);
}

/* Pages of the kernel's image are in no processor's memory for tables alone (CR4.PGE), or our own would not be looked at. */
static void storm(struct space *space, struct space *other, bool far_stack)
{
	u64 room = (u64)&space->way->room[STACK / 2];
	unsigned long flags, cr4;
	u32 i, kind;

	lie_about_tasks(space);
	lie_about_modules(space);
	local_irq_save(flags);
	cr4 = __read_cr4();
	write_cr4(cr4 & ~X86_CR4_PGE);
	rdmsrl(MSR_GS_BASE, space->way->gs);
	for (i = 0; i < BATCH; i++) {
		kind = get_random_u32() % SITES;
		lie_about_memory(space);
		if (other)
			lie_about_memory(other);
		if (space->site[kind])
			go(space, kind, far_stack ? FAR_STACK : room);
	}
	write_cr4(cr4);
	local_irq_restore(flags);
}

/* VMCALL or VMMCALL where no trap is, with a number that no hypervisor knows. */
static void call_elsewhere(void)
{
	u64 rax = get_random_u64() | 1ull << 40;

	if (boot_cpu_has(X86_FEATURE_VMMCALL))
		asm volatile("vmmcall" : "+a"(rax) : "b"(nonsense()), "c"(nonsense()), "d"(nonsense()), "S"(nonsense()));
	else
		asm volatile("vmcall" : "+a"(rax) : "b"(nonsense()), "c"(nonsense()), "d"(nonsense()), "S"(nonsense()));
}

static int lie(void *data)
{
	struct space *space = data, *other = spaces[(smp_processor_id() + 1) % num_online_cpus()];
	ktime_t until = ktime_add_ms(ktime_get(), SECONDS * MSEC_PER_SEC); /* ticks are lost here */

	while (ktime_before(ktime_get(), until)) {
		find_sites(space);
		storm(space, other == space ? NULL : other, false);
		call_elsewhere();
		cond_resched();
	}
	/* at last with a stack that is no memory: what is pushed there goes to the VMM */
	storm(space, NULL, true);
	atomic_dec(&running);
	return 0;
}

static int begin(void *data)
{
	struct task_struct *thread;
	u32 tries, cpu;

	for (tries = 0; !find_site(0) && tries < SEARCH_SECONDS * 100; tries++)
		msleep(10);
	nodes_at = new_nodes();
	for_each_online_cpu(cpu)
		spaces[cpu] = new_space(&ways[cpu]);
	for_each_online_cpu(cpu) {
		atomic_inc(&running);
		thread = kthread_create(lie, spaces[cpu], "liar/%u", cpu);
		if (IS_ERR(thread))
			panic("hostile: no thread");
		kthread_bind(thread, cpu);
		wake_up_process(thread);
	}
	while (atomic_read(&running))
		msleep(100);
	pr_emerg("\nLACUNA-HOSTILE rounds %d %d %d\n", atomic_read(&rounds[0]), atomic_read(&rounds[1]),
		 atomic_read(&rounds[2]));
	return 0;
}

static int __init hostile_init(void)
{
	u32 i;

	for (i = 0; i < SITES; i++)
		starts[i] = address_of(functions[i]);
	modules_at = address_of("modules");
	if (!modules_at)
		return -ENOENT;
	return PTR_ERR_OR_ZERO(kthread_run(begin, NULL, "liar"));
}

module_init(hostile_init);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A guest kernel that lies, for Lacuna's lab");
