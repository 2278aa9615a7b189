// SPDX-License-Identifier: GPL-2.0-or-later
//
// btf_truth VMLINUZ: prints the true member offsets of a kernel, from its BTF, as truth.json
// ("lacuna-truth/1"). The judge of the tests: nothing of it is an input of Lacuna.
// btf_truth VMLINUZ STRUCTURE.MEMBER...: the same of these, null for those that the kernel does not have; MEMBER may lead into
// structures within the structure (file.f_path.dentry) and into arrays (module.mem[1].base).
// btf_truth VMLINUZ --raw FILE: writes its BTF, which bpftool(8) reads.
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <memory>
#include <optional>
#include <string>

#include <bpf/btf.h>
#include <nlohmann/json.hpp>

#include "error.h"
#include "kernel_image.h"

namespace {

using lacuna::Error;

class Btf {
public:
    explicit Btf(const lacuna::KernelImage& kernel) : name_(kernel.name())
    {
        const auto* section = kernel.elf().section(".BTF");
        if (!section || section->data.empty())
            throw Error("holds no BTF", name_,
                        "use a kernel built with CONFIG_DEBUG_INFO_BTF: Debian's amd64 kernels are");
        btf_.reset(btf__new(section->data.data(), static_cast<__u32>(section->data.size())));
        if (!btf_)
            throw Error(std::string("holds BTF that libbpf cannot read: ") + std::strerror(errno), name_);
    }

    // Byte offset of a member in a structure, also inside anonymous structures and unions; nothing if there
    // is none.
    std::optional<int> find(const std::string& structure, const std::string& member) const
    {
        const auto found = member_of(structure_id(structure), member);
        return found ? std::optional(found->offset) : std::nullopt;
    }

    // The same for "structure.member.member...".
    std::optional<int> find_path(const std::string& path) const
    {
        const auto dot = path.find('.');
        const __s32 id = btf__find_by_name_kind(btf_.get(), path.substr(0, dot).c_str(), BTF_KIND_STRUCT);
        if (id <= 0 || dot == std::string::npos)
            return std::nullopt;
        return find_path_in(static_cast<__u32>(id), path.substr(dot + 1));
    }

    int offset(const std::string& structure, const std::string& member) const
    {
        if (const auto found = find(structure, member))
            return *found;
        throw Error("its BTF has no member " + structure + "." + member, name_,
                    "extend btf_truth for this kernel");
    }

    int size(const std::string& structure) const
    {
        return static_cast<int>(btf__resolve_size(btf_.get(), structure_id(structure)));
    }

    int enumerator(const std::string& name) const
    {
        for (__u32 id = 1; id < btf__type_cnt(btf_.get()); ++id) {
            const btf_type* type = btf__type_by_id(btf_.get(), id);
            if (!btf_is_enum(type))
                continue;
            for (__u16 i = 0; i < btf_vlen(type); ++i)
                if (name == btf__name_by_offset(btf_.get(), btf_enum(type)[i].name_off))
                    return btf_enum(type)[i].val;
        }
        throw Error("its BTF has no enumerator " + name, name_, "extend btf_truth for this kernel");
    }

private:
    struct Free {
        void operator()(btf* pointer) const { btf__free(pointer); }
    };

    __u32 structure_id(const std::string& structure) const
    {
        const __s32 id = btf__find_by_name_kind(btf_.get(), structure.c_str(), BTF_KIND_STRUCT);
        if (id <= 0)
            throw Error("its BTF has no struct " + structure, name_);
        return static_cast<__u32>(id);
    }

    struct Member {
        int offset; // bytes from the structure's start
        __u32 type;
    };

    // A member of a structure, or of the anonymous ones within it.
    std::optional<Member> member_of(__u32 id, const std::string& wanted) const
    {
        const btf_type* type = btf__type_by_id(btf_.get(), id);
        while (type && (btf_is_mod(type) || btf_is_typedef(type)))
            type = btf__type_by_id(btf_.get(), type->type);
        if (!type || !btf_is_composite(type))
            return std::nullopt;
        for (__u32 i = 0; i < btf_vlen(type); ++i) {
            const btf_member& member = btf_members(type)[i];
            const std::string name = btf__name_by_offset(btf_.get(), member.name_off);
            const int at = static_cast<int>(btf_member_bit_offset(type, i) / 8);
            if (name == wanted)
                return Member{at, member.type};
            if (name.empty())
                if (const auto inner = member_of(member.type, wanted))
                    return Member{at + inner->offset, inner->type};
        }
        return std::nullopt;
    }

    std::optional<Member> element_of(const Member& array, int index) const
    {
        const btf_type* type = btf__type_by_id(btf_.get(), array.type);
        if (!btf_is_array(type))
            return std::nullopt;
        const __u32 element = btf_array(type)->type;
        return Member{array.offset + index * static_cast<int>(btf__resolve_size(btf_.get(), element)), element};
    }

    std::optional<int> find_path_in(__u32 id, const std::string& path) const
    {
        const auto dot = path.find('.');
        const std::string member = path.substr(0, dot);
        const auto bracket = member.find('[');
        auto first = member_of(id, member.substr(0, bracket));
        if (first && bracket != std::string::npos)
            first = element_of(*first, std::stoi(member.substr(bracket + 1)));
        if (!first)
            return std::nullopt;
        if (dot == std::string::npos)
            return first->offset;
        const auto rest = find_path_in(first->type, path.substr(dot + 1));
        return rest ? std::optional(first->offset + *rest) : std::nullopt;
    }

    std::string name_;
    std::unique_ptr<btf, Free> btf_;
};

struct Text {
    int base;
    int size;
};

// Where struct module keeps its text: module_core and core_text_size (up to 4.4), core_layout (4.5 to 6.3),
// mem[MOD_TEXT] (from 6.4).
Text module_text(const Btf& btf)
{
    if (const auto layout = btf.find("module", "core_layout"))
        return {*layout + btf.offset("module_layout", "base"),
                *layout + btf.offset("module_layout", "text_size")};
    if (const auto mem = btf.find("module", "mem")) {
        const int text = *mem + btf.enumerator("MOD_TEXT") * btf.size("module_memory");
        return {text + btf.offset("module_memory", "base"), text + btf.offset("module_memory", "size")};
    }
    return {btf.offset("module", "module_core"), btf.offset("module", "core_text_size")};
}

nlohmann::json truth(const Btf& btf)
{
    nlohmann::json members;
    for (const char* member : {"tasks", "pid", "comm", "mm"})
        members["task_struct"][member] = btf.offset("task_struct", member);
    for (const char* member : {"pgd", "start_code", "end_code"})
        members["mm_struct"][member] = btf.offset("mm_struct", member);
    // Relative to module.list, which is what the kernel's list of modules leads to.
    const int list = btf.offset("module", "list");
    const Text text = module_text(btf);
    members["module"] = {{"name", btf.offset("module", "name") - list},
                         {"module_core", text.base - list},
                         {"core_text_size", text.size - list}};
    return {{"schema", "lacuna-truth/1"}, {"source", "btf"}, {"members", members}};
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 2) {
        std::cerr << "usage: btf_truth VMLINUZ [STRUCTURE.MEMBER... | --raw FILE]\n";
        return 2;
    }
    try {
        const lacuna::KernelImage kernel{std::filesystem::path(argv[1])};
        const Btf btf(kernel);
        if (argc == 2) {
            std::cout << truth(btf).dump(2) << '\n';
            return 0;
        }
        if (argc == 4 && argv[2] == std::string("--raw")) {
            const auto& data = kernel.elf().section(".BTF")->data;
            std::ofstream(argv[3], std::ios::binary).write(reinterpret_cast<const char*>(data.data()), static_cast<std::streamsize>(data.size()));
            return 0;
        }
        nlohmann::ordered_json asked;
        for (int i = 2; i < argc; i++) {
            const auto found = btf.find_path(argv[i]);
            asked[argv[i]] = found ? nlohmann::ordered_json(*found) : nlohmann::ordered_json();
        }
        std::cout << asked.dump(2) << '\n';
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "btf_truth: " << error.what() << '\n';
        return 1;
    }
}
