// SPDX-License-Identifier: GPL-2.0-or-later
#include "synthetic_guest.h"

#include <algorithm>
#include <numeric>

namespace lacuna::test {

namespace {

constexpr std::uint64_t image_gpa = 0x1000000;
constexpr std::uint64_t image_size = 0x400000;
constexpr std::uint64_t task_size = 3 * 4096;
constexpr std::uint64_t present = 1, writable = 2, user = 4, large = 0x80, no_execute = 1ull << 63;

// The tables of a way of paging from the root down: the lowest bit of the address that selects an entry of each.
std::vector<unsigned> shifts_of(lacuna_paging paging)
{
    switch (paging) {
    case LACUNA_PAGING_5LEVEL:
        return {48, 39, 30, 21, 12};
    case LACUNA_PAGING_PAE:
        return {30, 21, 12};
    case LACUNA_PAGING_32BIT:
        return {22, 12};
    default:
        return {39, 30, 21, 12};
    }
}

unsigned large_shift(lacuna_paging paging)
{
    return paging == LACUNA_PAGING_32BIT ? 22 : 21;
}

// On i386 the image lies in the linear map.
AddressMap address_map(lacuna_paging paging)
{
    if (paging == LACUNA_PAGING_PAE || paging == LACUNA_PAGING_32BIT)
        return {0xc0000000, 0xc1000000, 0xf8000000, 0x00400000, 0xb4000000, 0xb7f00000, 4};
    return {0xffff888000000000, 0xffffffff81000000, 0xffffffffc0000000, 0x550000000000, 0x7f0000000000, 0x7fff00001000, 8};
}

} // namespace

void GuestMemory::write(std::uint64_t gpa, const void* data, std::size_t size)
{
    const auto* from = static_cast<const std::uint8_t*>(data);
    for (std::size_t i = 0; i < size; i++)
        pages_[(gpa + i) / 4096][(gpa + i) % 4096] = from[i];
}

void GuestMemory::read(std::uint64_t gpa, void* data, std::size_t size) const
{
    auto* to = static_cast<std::uint8_t*>(data);
    for (std::size_t i = 0; i < size; i++) {
        const auto page = pages_.find((gpa + i) / 4096);
        to[i] = page == pages_.end() ? std::uint8_t{0} : page->second[(gpa + i) % 4096];
    }
}

std::uint64_t GuestMemory::allocate_page()
{
    next_page_ += 4096;
    // the kernel's image lies in between
    if (next_page_ == image_gpa)
        next_page_ += image_size;
    return next_page_;
}

int GuestMemory::engine_read(void* context, u64 gpa, void* buffer, u32 len)
{
    const auto& self = *static_cast<GuestMemory*>(context);
    if (gpa % 4096 + len > 4096)
        std::abort(); // the engine promises not to cross a page
    if (gpa + len > self.size_ || self.broken.contains(gpa / 4096))
        return -EFAULT;
    self.read(gpa, buffer, len);
    return 0;
}

lac_memory GuestMemory::for_engine()
{
    return {.read = engine_read, .context = this};
}

Layout Layout::ordinary()
{
    return {.pid = 2464, .tgid = 2468, .comm = 3008, .tasks = 2208, .mm = 2288, .active_mm = 2296, .cg_list = 4000,
        .tid = 936, .clear_child_tid = 2528, .exec_mm = 2280, .thread_group = 2600, .pgd = 72, .start_code = 320, .end_code = 328, .auxv = 416, .vdso = 1000, .name = 16,
        .kobj_name = 88, .core = 328, .init_part = 424, .init_function = 320, .size = 340, .total_size = 336, .ro_size = 344, .init_size = 436};
}

Layout Layout::ordinary_i386()
{
    return {.pid = 1004, .tgid = 1008, .comm = 1268, .tasks = 868, .mm = 908, .active_mm = 912, .cg_list = 1804,
        .tid = 436, .clear_child_tid = 1060, .exec_mm = 904, .thread_group = 1100, .pgd = 44, .start_code = 132, .end_code = 136, .auxv = 188, .vdso = 492, .name = 8,
        .kobj_name = 68, .core = 236, .init_part = 276, .init_function = 228, .size = 244, .total_size = 240, .ro_size = 248, .init_size = 284};
}

// Slots of 64 bytes, dealt in random order: nothing overlaps, and nothing is where it is declared.
Layout Layout::random(std::uint32_t seed)
{
    std::mt19937 engine(seed);
    auto deal = [&](int from, int to) {
        std::vector<int> slots(static_cast<std::size_t>((to - from) / 64));
        std::iota(slots.begin(), slots.end(), 0);
        std::shuffle(slots.begin(), slots.end(), engine);
        for (int& slot : slots)
            slot = from + slot * 64 + 8 * static_cast<int>(engine() % 2);
        return slots;
    };
    const auto task = deal(64, 8192), mm = deal(0, 1024), module = deal(-960, 1920);
    return {.pid = task[0], .tgid = task[1], .comm = task[2] + 3, .tasks = task[3], .mm = task[4], .active_mm = task[5],
        .cg_list = task[6], .tid = task[7],
        .clear_child_tid = task[8], .exec_mm = task[9], .thread_group = task[10], .pgd = mm[0], .start_code = mm[1], .end_code = mm[2], .auxv = 1104,
        .vdso = mm[3], .name = module[0], .kobj_name = module[1] + 8, .core = module[2] + 8, .init_part = module[3],
        .init_function = module[4], .size = module[5] + 4, .total_size = module[6], .ro_size = module[7] + 4, .init_size = module[8]};
}

SyntheticGuest::SyntheticGuest(const Layout& described, lacuna_paging paging)
    : layout(described), where(address_map(paging)), paging_(paging), next_module_(where.modules)
{
    const unsigned shift = large_shift(paging);
    // a root of PAE need not be page-aligned
    kernel_root_ = memory.allocate_page() + (paging == LACUNA_PAGING_PAE ? 0x60 : 0);
    for (std::uint64_t gpa = 0; gpa < 1ull << 28; gpa += 1ull << shift)
        map(kernel_root_, where.linear_map + gpa, gpa, writable | no_execute | large, shift);
    for (std::uint64_t at = 0; at < image_size; at += 1ull << shift)
        map(kernel_root_, where.image + at, image_gpa + at, writable | no_execute | large, shift);
    const std::uint64_t head = where.modules_head(), init_mm = where.image + 0x180000;
    put_word(head, 0, head);
    put_word(head, where.word, head);

    cg_head_ = where.image + 0x300000;
    put_word(cg_head_, 0, cg_head_);
    put_word(cg_head_, where.word, cg_head_);
    init_task_.address = where.image + 0x100000;
    const std::uint64_t tasks = init_task_.address + static_cast<std::uint64_t>(layout.tasks);
    put_word(tasks, 0, tasks);
    put_word(tasks, where.word, tasks);
    put_word(init_task_.address, layout.active_mm, init_mm);
    put_word(init_mm, layout.pgd, where.linear_map + kernel_root_);
    set_comm(init_task_, "swapper/0");
}

lac_facts SyntheticGuest::facts() const
{
    return {.init_task = init_task_.address, .modules = where.modules_head(), .text = where.image,
        .end = where.image + image_size};
}

std::uint64_t SyntheticGuest::to_gpa(std::uint64_t va) const
{
    if (const auto page = module_pages_.find(va & ~4095ull); page != module_pages_.end())
        return page->second + va % 4096;
    return va >= where.image ? va - where.image + image_gpa : linear_to_gpa(va);
}

void SyntheticGuest::put_word(std::uint64_t va, std::int64_t offset, std::uint64_t value)
{
    memory.write(to_gpa(va + static_cast<std::uint64_t>(offset)), &value, where.word);
}

std::uint64_t SyntheticGuest::word(std::uint64_t va) const
{
    std::uint64_t value = 0;
    memory.read(to_gpa(va), &value, where.word);
    return value;
}

std::uint64_t SyntheticGuest::allocate(std::size_t pages)
{
    const std::uint64_t first = memory.allocate_page();
    for (std::size_t i = 1; i < pages; i++)
        memory.allocate_page();
    return where.linear_map + first;
}

void SyntheticGuest::map(
    std::uint64_t root, std::uint64_t va, std::uint64_t gpa, std::uint64_t flags, unsigned last_shift)
{
    const bool narrow = paging_ == LACUNA_PAGING_32BIT, pae = paging_ == LACUNA_PAGING_PAE;
    const std::size_t size = narrow ? 4 : 8;
    const std::uint64_t mask = narrow ? 0x3ff : 0x1ff;
    std::uint64_t table = root;
    for (const unsigned shift : shifts_of(paging_)) {
        const std::uint64_t at = table + size * (va >> shift & (pae && shift == 30 ? 3 : mask));
        std::uint64_t entry = 0;
        memory.read(at, &entry, size);
        if (shift == last_shift)
            entry = gpa | present | (narrow ? flags & 0xfff : flags);
        else if (!(entry & present)) // the entries of a PAE root have no rights: those bits are reserved
            entry = memory.allocate_page() | present | (table == root && pae ? 0 : writable | user);
        memory.write(at, &entry, size);
        if (shift == last_shift)
            return;
        table = entry & 0x000ffffffffff000;
    }
}

// With what else stands in it: a PCID, or the cache bits.
std::uint64_t SyntheticGuest::cr3(std::uint64_t root) const
{
    return where.word == 8 ? root | 5 : root | 0x18;
}

void SyntheticGuest::set_comm(const Task& task, const std::string& comm)
{
    std::array<char, 16> bytes{};
    std::copy_n(comm.begin(), std::min<std::size_t>(comm.size(), 15), bytes.begin());
    memory.write(to_gpa(task.address + static_cast<std::uint64_t>(layout.comm)), bytes.data(), bytes.size());
}

std::uint64_t SyntheticGuest::make_task(const std::string& comm, std::int32_t pid, std::int32_t tgid)
{
    const std::uint64_t task = allocate(task_size / 4096);
    // what else is in a task: anything, but the same kind of thing in each
    for (int i = 0; i < 200; i++)
        put_word(task, 8 * static_cast<int>(random_() % (task_size / 8)), where.linear_map + random_() % (1 << 28));
    for (int offset = 0; offset < static_cast<int>(task_size); offset += 48)
        put<std::uint32_t>(task, offset, random_() % 4);
    put_word(task, layout.mm, 0);
    put_word(task, layout.exec_mm, 0);
    put<std::int32_t>(task, layout.pid, pid);
    put<std::int32_t>(task, layout.tgid, tgid);
    // as unique and as orderly as the pid, but a little ahead since other CPUs' idle tasks were numbered too
    put_word(task, layout.tid, static_cast<std::uint64_t>(pid < 10 || tids_are_pids ? pid : pid + 1));
    set_comm({task, 0}, comm);
    // all tasks are on the list of their control group too, whose head is in no task
    link(task + static_cast<std::uint64_t>(layout.cg_list), cg_head_);
    return task;
}

void SyntheticGuest::link_process(std::uint64_t task)
{
    const auto offset = static_cast<std::uint64_t>(layout.tasks);
    link(task + offset, init_task_.address + offset);
}

void SyntheticGuest::link(std::uint64_t node, std::uint64_t head)
{
    const std::uint64_t last = word(head + where.word);
    put_word(node, 0, head);
    put_word(node, where.word, last);
    put_word(last, 0, node);
    put_word(head, where.word, node);
}

void SyntheticGuest::unlink(std::uint64_t node)
{
    const std::uint64_t next = word(node), last = word(node + where.word);
    put_word(last, 0, next);
    put_word(next, where.word, last);
}

SyntheticGuest::Task SyntheticGuest::spawn_kernel_thread(const std::string& comm)
{
    const std::int32_t pid = next_pid_++;
    const Task task{make_task(comm, pid, pid), 0};
    put_word(task.address, layout.active_mm, where.image + 0x180000);
    link_process(task.address);
    return task;
}

// A root that shares the kernel's half.
std::uint64_t SyntheticGuest::make_space()
{
    const std::uint64_t root = memory.allocate_page() + (paging_ == LACUNA_PAGING_PAE ? 0x20 : 0);
    const std::uint64_t size = paging_ == LACUNA_PAGING_PAE ? 32 : 4096;
    const std::uint64_t shared = where.word == 8 ? size / 2 : size * 3 / 4;
    std::vector<std::uint8_t> entries(size - shared);
    memory.read(kernel_root_ + shared, entries.data(), entries.size());
    memory.write(root + shared, entries.data(), entries.size());
    return root;
}

// A position-independent program of three segments: headers, code, data.
void SyntheticGuest::make_program(std::uint64_t mm, std::uint64_t root)
{
    const bool narrow = where.word == 4;
    const std::uint64_t header_size = narrow ? 52 : 64, entry_size = narrow ? 32 : 56;
    const std::uint64_t base = where.programs + (std::uint64_t{random_() % (narrow ? 0x40000 : 0xffffffff)} << 12);
    const std::uint64_t page = memory.allocate_page(), code_size = 0x1000 + random_() % 0x9000;
    map(root, base, page, user | no_execute);
    map(root, base + 0x1000, memory.allocate_page(), user);
    headers_[mm] = page + header_size;
    memory.write(page, "\177ELF", 4);
    memory.write(page + (narrow ? 28 : 32), &header_size, where.word); // e_phoff
    // flags, offset, address, size in the file, size in memory
    const std::array<std::array<std::uint64_t, 5>, 3> segments{{{4, 0, 0, 0x500, 0x500},
        {5, 0x1000, 0x1000, code_size, code_size}, {6, 0x10000, 0x11000, 0x100, 0x800}}};
    for (std::size_t i = 0; i < segments.size(); i++) {
        const std::uint64_t at = page + header_size + i * entry_size;
        const auto [flags, offset, address, in_file, in_memory] = segments[i];
        memory.put<std::uint32_t>(at, 1);
        memory.write(at + (narrow ? 24 : 4), &flags, 4);
        memory.write(at + (narrow ? 4 : 8), &offset, where.word);
        memory.write(at + (narrow ? 8 : 16), &address, where.word);
        memory.write(at + (narrow ? 16 : 32), &in_file, where.word);
        memory.write(at + (narrow ? 20 : 40), &in_memory, where.word);
    }
    put_word(mm, layout.start_code, base + 0x1000);
    put_word(mm, layout.end_code, base + 0x1000 + code_size);
    put_word(mm, layout.end_code + static_cast<int>(where.word), base + 0x11000); // start_data
    put_word(mm, layout.end_code + 2 * static_cast<int>(where.word), base + 0x11100); // end_data
    put_word(mm, layout.vdso, where.vdso);
    const std::array<std::uint64_t, 14> auxv{33, where.vdso, 6, 4096, 3, base + header_size, 4, entry_size, 5,
        segments.size(), 9, base + 0x1000 + code_size / 2, 7, where.vdso - 0x100000};
    for (std::size_t i = 0; i < auxv.size(); i++)
        put_word(mm, layout.auxv + static_cast<std::int64_t>(where.word * i), auxv[i]);
}

// Where the C library keeps a thread's number.
void SyntheticGuest::keep_thread_id(const Task& task, std::int32_t pid)
{
    const std::uint64_t va = where.thread_memory + static_cast<std::uint64_t>(pid) * 0x10000, page = memory.allocate_page();
    map(task.space, va, page, user | writable | no_execute);
    memory.put<std::int32_t>(page + 0x2d0, pid);
    thread_ids_[task.address] = page + 0x2d0;
    put_word(task.address, layout.clear_child_tid, va + 0x2d0);
}

SyntheticGuest::Task SyntheticGuest::spawn_process(const std::string& comm)
{
    const std::int32_t pid = next_pid_++;
    const Task task = exec({make_task(comm, pid, pid), 0});
    keep_thread_id(task, pid);
    link_process(task.address);
    return task;
}

SyntheticGuest::Task SyntheticGuest::exec(const Task& started)
{
    const Task task{started.address, make_space()};
    const std::uint64_t mm = allocate(1);
    put_word(mm, layout.pgd, where.linear_map + task.space);
    make_program(mm, task.space);
    put_word(task.address, layout.mm, mm);
    put_word(task.address, layout.active_mm, mm);
    put_word(task.address, layout.exec_mm, mm);
    return task;
}

SyntheticGuest::Task SyntheticGuest::spawn_thread(const Task& leader, const std::string& comm)
{
    const auto tgid = memory.get<std::int32_t>(to_gpa(leader.address + static_cast<std::uint64_t>(layout.tgid)));
    const std::int32_t pid = next_pid_++;
    const Task task{make_task(comm, pid, tgid), leader.space};
    const auto mm = word(leader.address + static_cast<std::uint64_t>(layout.mm));
    put_word(task.address, layout.mm, mm);
    put_word(task.address, layout.active_mm, mm);
    put_word(task.address, layout.exec_mm, mm);
    // dup_task_struct() copies what the leader has
    put_word(task.address, layout.tasks, word(leader.address + static_cast<std::uint64_t>(layout.tasks)));
    put_word(task.address, layout.tasks + static_cast<std::int32_t>(where.word),
             word(leader.address + static_cast<std::uint64_t>(layout.tasks) + where.word));
    keep_thread_id(task, pid);
    const auto first = leader.address + static_cast<std::uint64_t>(layout.thread_group);
    if (!word(first)) { // a process of one thread so far
        const auto head = threads_have_a_head ? where.linear_map + memory.allocate_page() : first;
        put_word(head, 0, head);
        put_word(head, where.word, head);
        if (head != first)
            link(first, head);
        thread_heads_[leader.address] = head;
    }
    link(task.address + static_cast<std::uint64_t>(layout.thread_group), thread_heads_[leader.address]);
    return task;
}

void SyntheticGuest::exit(const Task& task)
{
    unlink(task.address + static_cast<std::uint64_t>(layout.cg_list));
    if (word(task.address + static_cast<std::uint64_t>(layout.thread_group)))
        unlink(task.address + static_cast<std::uint64_t>(layout.thread_group));
    const auto node = task.address + static_cast<std::uint64_t>(layout.tasks);
    if (word(node))
        unlink(node);
}

void SyntheticGuest::start_first()
{
    const auto offset = static_cast<std::uint64_t>(layout.tasks);
    const std::uint64_t first = word(init_task_.address + offset) - offset;
    if (first != init_task_.address && !word(first + static_cast<std::uint64_t>(layout.mm)))
        exec({first, 0});
}

void SyntheticGuest::say_number(const Task& task, std::int32_t number)
{
    memory.put<std::int32_t>(thread_ids_.at(task.address), number);
}

void SyntheticGuest::call_data_code(const Task& process)
{
    const std::uint64_t headers = headers_.at(word(process.address + static_cast<std::uint64_t>(layout.mm)));
    const bool narrow = where.word == 4;
    const std::array<std::uint32_t, 3> flags{4, 4, 7};
    for (std::size_t i = 0; i < flags.size(); i++)
        memory.put<std::uint32_t>(headers + i * (narrow ? 32 : 56) + (narrow ? 24 : 4), flags[i]);
}

void SyntheticGuest::swap_code(const Task& process)
{
    const std::uint64_t mm = word(process.address + static_cast<std::uint64_t>(layout.mm));
    const std::uint64_t start = word(mm + static_cast<std::uint64_t>(layout.start_code)), end = word(mm + static_cast<std::uint64_t>(layout.end_code));
    put_word(mm, layout.start_code, start + 0x100000);
    put_word(mm, layout.end_code, end + 0x100000);
    put_word(mm, layout.end_code + 8, start);
    put_word(mm, layout.end_code + 16, end);
}

void SyntheticGuest::make_compat(const Task& process)
{
    const std::uint64_t mm = word(process.address + static_cast<std::uint64_t>(layout.mm));
    std::array<std::uint32_t, 28> auxv{33, 0xf7fc0000, 6, 4096, 3, 0x56555034, 4, 32, 5, 11, 7, 0xf7fc5000};
    memory.write(to_gpa(mm + static_cast<std::uint64_t>(layout.auxv)), auxv.data(), sizeof(auxv));
    put_word(mm, layout.start_code, 0x56556000);
    put_word(mm, layout.end_code, 0x56558123);
}

lac_event SyntheticGuest::fork_event(const Task& current) const
{
    return {.on = LACUNA_ON_FORK, .paging = static_cast<u8>(paging_), .subject = current.address,
        .cr3 = current.space ? cr3(current.space) : kernel_root_};
}

// As exit_mm() does long before release_task().
lac_event SyntheticGuest::exit_event(const Task& task)
{
    put_word(task.address, layout.mm, 0);
    return {.on = LACUNA_ON_EXIT, .paging = static_cast<u8>(paging_), .subject = task.address, .cr3 = kernel_root_};
}

// As layout_sections() lays it out: text, what is only read, what is written; the init part elsewhere.
lac_event SyntheticGuest::load_module(const std::string& name, std::uint64_t pages)
{
    const std::uint64_t structure = next_module_, text = structure + 0x10000,
                        init = text + (pages + 4) * 4096;
    next_module_ = init + 0x10000;
    const auto add = [&](std::uint64_t va, std::uint64_t number, std::uint64_t flags) {
        for (std::uint64_t i = 0; i < number; i++) {
            module_pages_[va + i * 4096] = memory.allocate_page();
            map(kernel_root_, va + i * 4096, module_pages_[va + i * 4096], strict_modules ? flags : writable);
        }
    };
    add(structure, 2, writable | no_execute);
    const std::uint64_t behind = text + (pages + trampolines) * 4096;
    add(text, pages + trampolines, 0);
    add(behind, 1, no_execute);
    add(behind + 4096, 1, writable | no_execute);
    add(init, 1, 0);
    const std::vector<std::uint8_t> code(4096, 0x90);
    for (std::uint64_t i = 0; i < pages + trampolines; i++) {
        // what is left of the last page is zero
        const std::uint64_t left = i + 1 == pages ? 64 + random_() % 2000 : 0;
        memory.write(to_gpa(text + i * 4096), code.data(), code.size() - left);
    }
    const std::array<std::uint32_t, 4> note{4, 20, 3, 0x554e47}; // its build id comes first: 4 bytes of name, "GNU"
    if (module_notes)
        memory.write(to_gpa(behind), note.data(), sizeof(note));
    const std::uint64_t list = structure + 2048, kobj_name = allocate(1);
    memory.write(to_gpa(list + static_cast<std::uint64_t>(layout.name)), name.c_str(), name.size() + 1);
    memory.write(to_gpa(kobj_name), name.c_str(), name.size() + 1);
    put_word(list, layout.kobj_name, kobj_name);
    put_word(list, layout.core, text);
    if (layout.core_copy)
        put_word(list, layout.core_copy, text);
    put_word(list, layout.init_part, init);
    put_word(list, layout.init_function, init + 0x10);
    put<std::uint32_t>(list, layout.init_size, 4096);
    put<std::uint32_t>(list, layout.size, static_cast<std::uint32_t>(pages * 4096));
    put<std::uint32_t>(list, layout.ro_size, static_cast<std::uint32_t>((pages + 1) * 4096));
    put<std::uint32_t>(list, layout.total_size, static_cast<std::uint32_t>((pages + 2) * 4096));
    const std::uint64_t head = where.modules_head(), first = word(head);
    put_word(list, 0, first);
    put_word(list, where.word, head);
    put_word(first, where.word, list);
    put_word(head, 0, list);
    last_module_ = list;
    return {.on = LACUNA_ON_INITCALL, .paging = static_cast<u8>(paging_), .subject = init + 0x10, .cr3 = kernel_root_};
}

std::uint64_t SyntheticGuest::last_text()
{
    return word(last_module_ + static_cast<std::uint64_t>(layout.core));
}

void SyntheticGuest::set_init_function(std::uint64_t function)
{
    put_word(last_module_, layout.init_function, function);
}

void SyntheticGuest::finish_module()
{
    put_word(last_module_, layout.init_part, 0);
}

} // namespace lacuna::test
