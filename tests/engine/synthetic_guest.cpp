// SPDX-License-Identifier: GPL-2.0-or-later
#include "synthetic_guest.h"

#include <algorithm>
#include <numeric>

namespace lacuna::test {

namespace {

constexpr std::uint64_t linear_map = 0xffff888000000000;
constexpr std::uint64_t image = 0xffffffff81000000;
constexpr std::uint64_t image_gpa = 0x1000000;
constexpr std::uint64_t image_size = 0x400000;
constexpr std::uint64_t modules_head = image + 0x200000;
constexpr std::uint64_t task_size = 3 * 4096;
constexpr std::uint64_t present = 1, writable = 2, user = 4, large = 0x80, no_execute = 1ull << 63;
constexpr int elf_header_size = 64, program_header_size = 56;

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
        .tid = 936, .clear_child_tid = 2528, .pgd = 72, .start_code = 320, .end_code = 328, .auxv = 416, .vdso = 1000, .name = 16,
        .kobj_name = 88, .core = 328, .init_part = 424, .init_function = 320, .size = 340, .total_size = 336};
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
        .clear_child_tid = task[8], .pgd = mm[0], .start_code = mm[1], .end_code = mm[2], .auxv = 1104,
        .vdso = mm[3], .name = module[0], .kobj_name = module[1] + 8, .core = module[2] + 8, .init_part = module[3],
        .init_function = module[4], .size = module[5] + 4, .total_size = module[6]};
}

SyntheticGuest::SyntheticGuest(const Layout& where, bool la57) : layout(where), la57_(la57)
{
    kernel_root_ = memory.allocate_page();
    map(kernel_root_, linear_map, 0, writable | no_execute | large, 3);
    map(kernel_root_, image, image_gpa, writable | no_execute | large, 2);
    map(kernel_root_, image + 0x200000, image_gpa + 0x200000, writable | no_execute | large, 2);
    put<std::uint64_t>(modules_head, 0, modules_head);
    put<std::uint64_t>(modules_head, 8, modules_head);

    cg_head_ = image + 0x300000;
    put<std::uint64_t>(cg_head_, 0, cg_head_);
    put<std::uint64_t>(cg_head_, 8, cg_head_);
    init_task_.address = image + 0x100000;
    put<std::uint64_t>(init_task_.address, layout.tasks, init_task_.address + static_cast<std::uint64_t>(layout.tasks));
    put<std::uint64_t>(init_task_.address, layout.tasks + 8,
        init_task_.address + static_cast<std::uint64_t>(layout.tasks));
    put<std::uint64_t>(init_task_.address, layout.active_mm, image + 0x180000);
    put<std::uint64_t>(image + 0x180000, layout.pgd, linear_map + kernel_root_);
    set_comm(init_task_, "swapper/0");
}

lac_facts SyntheticGuest::facts() const
{
    return {.init_task = init_task_.address, .modules = modules_head, .text = image, .end = image + image_size};
}

std::uint64_t SyntheticGuest::linear_to_gpa(std::uint64_t va)
{
    return va - linear_map;
}

std::uint64_t SyntheticGuest::to_gpa(std::uint64_t va) const
{
    if (const auto page = module_pages_.find(va & ~4095ull); page != module_pages_.end())
        return page->second + va % 4096;
    return va >= image ? va - image + image_gpa : linear_to_gpa(va);
}

std::uint64_t SyntheticGuest::allocate(std::size_t pages)
{
    const std::uint64_t first = memory.allocate_page();
    for (std::size_t i = 1; i < pages; i++)
        memory.allocate_page();
    return linear_map + first;
}

void SyntheticGuest::map(std::uint64_t root, std::uint64_t va, std::uint64_t gpa, std::uint64_t flags, int last_level)
{
    std::uint64_t table = root;
    for (int level = la57_ ? 5 : 4; level > last_level; level--) {
        const std::uint64_t at = table + 8 * (va >> (12 + 9 * (level - 1)) & 511);
        if (!(memory.get<std::uint64_t>(at) & present))
            memory.put<std::uint64_t>(at, memory.allocate_page() | present | writable | user);
        table = memory.get<std::uint64_t>(at) & 0x000ffffffffff000;
    }
    memory.put<std::uint64_t>(table + 8 * (va >> (12 + 9 * (last_level - 1)) & 511), gpa | present | flags);
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
        put<std::uint64_t>(task, 8 * static_cast<int>(random_() % (task_size / 8)), linear_map + random_() % (1 << 28));
    for (int offset = 0; offset < static_cast<int>(task_size); offset += 48)
        put<std::uint32_t>(task, offset, random_() % 4);
    put<std::uint64_t>(task, layout.mm, 0);
    put<std::int32_t>(task, layout.pid, pid);
    put<std::int32_t>(task, layout.tgid, tgid);
    // as unique and as orderly as the pid, but a little ahead since other CPUs' idle tasks were numbered too
    put<std::uint64_t>(task, layout.tid, static_cast<std::uint64_t>(pid < 10 ? pid : pid + 1));
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
    const auto last = memory.get<std::uint64_t>(to_gpa(head + 8));
    put<std::uint64_t>(node, 0, head);
    put<std::uint64_t>(node, 8, last);
    put<std::uint64_t>(last, 0, node);
    put<std::uint64_t>(head, 8, node);
}

void SyntheticGuest::unlink(std::uint64_t node)
{
    const auto next = memory.get<std::uint64_t>(to_gpa(node)), last = memory.get<std::uint64_t>(to_gpa(node + 8));
    put<std::uint64_t>(last, 0, next);
    put<std::uint64_t>(next, 8, last);
}

SyntheticGuest::Task SyntheticGuest::spawn_kernel_thread(const std::string& comm)
{
    const std::int32_t pid = next_pid_++;
    const Task task{make_task(comm, pid, pid), 0};
    put<std::uint64_t>(task.address, layout.active_mm, image + 0x180000);
    link_process(task.address);
    return task;
}

std::uint64_t SyntheticGuest::make_space()
{
    const std::uint64_t root = memory.allocate_page();
    for (std::uint64_t slot = 256; slot < 512; slot++)
        memory.put<std::uint64_t>(root + 8 * slot, memory.get<std::uint64_t>(kernel_root_ + 8 * slot));
    return root;
}

// A position-independent program of three segments: headers, code, data.
void SyntheticGuest::make_program(std::uint64_t mm, std::uint64_t root)
{
    const std::uint64_t base = 0x550000000000 + (std::uint64_t{random_()} << 12), page = memory.allocate_page();
    const std::uint64_t code_size = 0x1000 + random_() % 0x9000;
    map(root, base, page, user | no_execute);
    map(root, base + 0x1000, memory.allocate_page(), user);
    const std::uint64_t phoff = elf_header_size;
    memory.write(page, "\177ELF", 4);
    memory.put<std::uint64_t>(page + 32, phoff);
    const std::array<std::array<std::uint64_t, 5>, 3> segments{
        {{4, 0, 0, 0x500, 0x500}, {5, 0x1000, 0x1000, code_size, code_size}, {6, 0x10000, 0x11000, 0x100, 0x800}}};
    for (std::size_t i = 0; i < segments.size(); i++) {
        const std::uint64_t at = page + elf_header_size + i * program_header_size;
        memory.put<std::uint32_t>(at, 1);
        memory.put<std::uint32_t>(at + 4, static_cast<std::uint32_t>(segments[i][0]));
        memory.put<std::uint64_t>(at + 8, segments[i][1]);
        memory.put<std::uint64_t>(at + 16, segments[i][2]);
        memory.put<std::uint64_t>(at + 32, segments[i][3]);
        memory.put<std::uint64_t>(at + 40, segments[i][4]);
    }
    put<std::uint64_t>(mm, layout.start_code, base + 0x1000);
    put<std::uint64_t>(mm, layout.end_code, base + 0x1000 + code_size);
    put<std::uint64_t>(mm, layout.vdso, 0x7fff00001000);
    const std::array<std::uint64_t, 14> auxv{33, 0x7fff00001000, 6, 4096, 3, base + phoff, 4, program_header_size, 5,
        segments.size(), 9, base + 0x1000 + code_size / 2, 7, 0x7fff10000000};
    for (std::size_t i = 0; i < auxv.size(); i++)
        put<std::uint64_t>(mm, layout.auxv + static_cast<std::int64_t>(8 * i), auxv[i]);
}

// Where the C library keeps a thread's number.
void SyntheticGuest::keep_thread_id(const Task& task, std::int32_t pid)
{
    const std::uint64_t va = 0x7f0000000000 + static_cast<std::uint64_t>(pid) * 0x10000, page = memory.allocate_page();
    map(task.space, va, page, user | writable | no_execute);
    memory.put<std::int32_t>(page + 0x2d0, pid);
    put<std::uint64_t>(task.address, layout.clear_child_tid, va + 0x2d0);
}

SyntheticGuest::Task SyntheticGuest::spawn_process(const std::string& comm)
{
    const std::int32_t pid = next_pid_++;
    const Task task{make_task(comm, pid, pid), make_space()};
    const std::uint64_t mm = allocate(1);
    put<std::uint64_t>(mm, layout.pgd, linear_map + task.space);
    make_program(mm, task.space);
    put<std::uint64_t>(task.address, layout.mm, mm);
    put<std::uint64_t>(task.address, layout.active_mm, mm);
    keep_thread_id(task, pid);
    link_process(task.address);
    return task;
}

SyntheticGuest::Task SyntheticGuest::spawn_thread(const Task& leader, const std::string& comm)
{
    const auto tgid = memory.get<std::int32_t>(to_gpa(leader.address + static_cast<std::uint64_t>(layout.tgid)));
    const std::int32_t pid = next_pid_++;
    const Task task{make_task(comm, pid, tgid), leader.space};
    const auto mm = memory.get<std::uint64_t>(to_gpa(leader.address + static_cast<std::uint64_t>(layout.mm)));
    put<std::uint64_t>(task.address, layout.mm, mm);
    put<std::uint64_t>(task.address, layout.active_mm, mm);
    keep_thread_id(task, pid);
    return task;
}

void SyntheticGuest::exit(const Task& task)
{
    unlink(task.address + static_cast<std::uint64_t>(layout.cg_list));
    const auto node = task.address + static_cast<std::uint64_t>(layout.tasks);
    if (memory.get<std::uint64_t>(to_gpa(node)))
        unlink(node);
}

lac_event SyntheticGuest::fork_event(const Task& current) const
{
    return {.on = LACUNA_ON_FORK, .la57 = la57_, .subject = current.address,
        .cr3 = current.space ? current.space | 5 : kernel_root_};
}

lac_event SyntheticGuest::exit_event(const Task& task) const
{
    return {.on = LACUNA_ON_EXIT, .la57 = la57_, .subject = task.address, .cr3 = kernel_root_};
}

lac_event SyntheticGuest::load_module(const std::string& name)
{
    const std::uint64_t pages = 1 + random_() % 5, structure = next_module_, text = structure + 0x10000,
                        init = text + (pages + 4) * 4096;
    next_module_ = init + 0x10000;
    const auto add = [&](std::uint64_t va, std::uint64_t number, std::uint64_t flags) {
        for (std::uint64_t i = 0; i < number; i++) {
            module_pages_[va + i * 4096] = memory.allocate_page();
            map(kernel_root_, va + i * 4096, module_pages_[va + i * 4096], flags);
        }
    };
    add(structure, 2, writable | no_execute);
    add(text, pages, 0);
    add(text + pages * 4096, 2, no_execute);
    add(init, 1, 0);
    const std::uint64_t list = structure + 2048, kobj_name = allocate(1);
    memory.write(to_gpa(list + static_cast<std::uint64_t>(layout.name)), name.c_str(), name.size() + 1);
    memory.write(to_gpa(kobj_name), name.c_str(), name.size() + 1);
    put<std::uint64_t>(list, layout.kobj_name, kobj_name);
    put<std::uint64_t>(list, layout.core, text);
    put<std::uint64_t>(list, layout.init_part, init);
    put<std::uint64_t>(list, layout.init_function, init + 0x10);
    put<std::uint32_t>(list, layout.size, static_cast<std::uint32_t>(pages * 4096));
    put<std::uint32_t>(list, layout.total_size, static_cast<std::uint32_t>((pages + 2) * 4096));
    const auto first = memory.get<std::uint64_t>(to_gpa(modules_head));
    put<std::uint64_t>(list, 0, first);
    put<std::uint64_t>(list, 8, modules_head);
    put<std::uint64_t>(first, 8, list);
    put<std::uint64_t>(modules_head, 0, list);
    last_module_ = list;
    return {.on = LACUNA_ON_INITCALL, .la57 = la57_, .subject = init + 0x10, .cr3 = kernel_root_};
}

void SyntheticGuest::finish_module()
{
    put<std::uint64_t>(last_module_, layout.init_part, 0);
}

} // namespace lacuna::test
