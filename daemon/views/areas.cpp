// SPDX-License-Identifier: GPL-2.0-or-later
#include "areas.h"

#include "error.h"
#include "files.h"
#include "processes.h"

namespace lacuna {

namespace {

std::string rights_text(std::uint64_t flags)
{
    constexpr std::uint64_t read = 1, write = 2, execute = 4, may_share = 0x80; // include/linux/mm.h
    return {flags & read ? 'r' : '-', flags & write ? 'w' : '-', flags & execute ? 'x' : '-',
            flags & may_share ? 's' : 'p'};
}

// What it is for, of one without a file: fs/proc/task_mmu.c, show_map_vma().
Json purpose(GuestView& view, const Instance& memory, const Area& area)
{
    constexpr std::uint64_t sysinfo_ehdr = 33; // AT_SYSINFO_EHDR
    Look& look = view.look();
    if (const auto vdso = look.auxiliary(memory, sysinfo_ehdr); vdso && area.start == *vdso)
        return "[vdso]";
    const auto heap = look.member(memory, "mm_struct.start_brk"), brk = look.member(memory, "mm_struct.brk");
    if (heap && brk && area.start <= *brk && area.end >= *heap)
        return "[heap]";
    if (const auto stack = look.member(memory, "mm_struct.start_stack"); stack && area.holds(*stack))
        return "[stack]";
    return {};
}

} // namespace

Json list_areas(GuestView& view, std::int32_t pid)
{
    view.need({"vm_area_struct.vm_mm", "vm_area_struct.vm_start", "vm_area_struct.vm_end"});
    if (!view.knows("mm_struct.mmap"))
        view.need({"mm_struct.mm_mt", "maple_tree.ma_root"});
    view.want("rights", {"vm_area_struct.vm_flags"});
    view.want("files", {"vm_area_struct.vm_file", "file.f_path.dentry", "dentry.d_name.name", "dentry.d_parent"});
    view.want("heap", {"mm_struct.start_brk", "mm_struct.brk"});
    view.want("stack", {"mm_struct.start_stack"});
    const Instance& task = view.process(pid);
    const auto memory = view.memory_of(task);
    if (!memory)
        throw Error("has no memory of its own: it is the kernel's, or has ended", "process " + std::to_string(pid));
    Json areas = Json::array();
    for (const Area& area : view.look().all_areas(*memory)) {
        const auto flags = view.word(area.address, "vm_area_struct.vm_flags");
        const auto file = view.word(area.address, "vm_area_struct.vm_file");
        Json path;
        if (file && view.look().leads_somewhere(*file)) {
            if (const auto found = path_of_file(view, *file))
                path = *found;
        } else if (file == 0u) {
            path = purpose(view, *memory, area);
        }
        view.tell(path.is_string() ? path.get_ref<const std::string&>().size() : 0);
        areas.push_back({{"start", hex(area.start)},
                         {"end", hex(area.end)},
                         {"rights", flags ? Json(rights_text(*flags)) : Json()},
                         {"path", std::move(path)}});
    }
    if (areas.empty())
        throw Error("its areas lead nowhere", "process " + std::to_string(pid), "the guest may have been changing them: try again");
    return {{"pid", pid}, {"comm", name_of(view, task)}, {"areas", std::move(areas)}};
}

} // namespace lacuna
