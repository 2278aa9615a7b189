// SPDX-License-Identifier: GPL-2.0-or-later
#include "look.h"

#include <algorithm>
#include <array>

#include "error.h"

namespace lacuna {

namespace {

constexpr std::uint64_t page_size = 4096;
constexpr std::size_t word_size = 8;
constexpr std::size_t most_pages = 65536;
constexpr std::size_t per_block = 128; // bytes that it takes to remember a piece of what was read
constexpr std::size_t most_users = 4;  // whose page tables and pages are remembered, up to 16 MiB of each
constexpr std::int32_t largest_pid = 4194304; // PID_MAX_LIMIT
constexpr unsigned most_parents = 64;
constexpr std::size_t area_bytes = 256; // of a vm_area_struct: its links and bounds lie in there

bool is_text(const Bytes& bytes)
{
    const auto end = std::find(bytes.begin(), bytes.end(), 0);
    return end != bytes.begin() && end != bytes.end() &&
           std::all_of(bytes.begin(), end, [](std::uint8_t c) { return c >= 0x20 && c != 0x7f; });
}

// The bytes before the first NUL, if there is one.
std::optional<std::string> terminated(const Bytes& bytes)
{
    const auto end = std::find(bytes.begin(), bytes.end(), 0);
    return end == bytes.end() ? std::nullopt : std::optional(std::string(bytes.begin(), end));
}

bool is_user(std::uint64_t gva)
{
    return gva >= page_size && gva < std::uint64_t{1} << 56;
}

} // namespace

Look::Look(AddressSpace& memory, const Anchors& anchors, std::chrono::steady_clock::time_point deadline,
           std::function<void()> breathe, const LookLimits& limits)
    : memory_(memory),
      clean_((memory.forget(), memory.give_up_at(deadline), memory)),
      anchors_(anchors),
      deadline_(deadline),
      breathe_(std::move(breathe)),
      limits_(limits)
{}

void Look::breathe()
{
    constexpr std::chrono::milliseconds between(20);
    const auto now = std::chrono::steady_clock::now();
    if (now > deadline_)
        throw Error("looking at the guest takes too long");
    if (now - breathed_ < between)
        return;
    if (breathe_)
        breathe_();
    breathed_ = std::chrono::steady_clock::now();
}

void Look::keep(std::size_t bytes)
{
    if (kept_ += bytes; kept_ > limits_.kept)
        throw Error("looking at the guest takes too much memory");
}

// Whether another one is to be added; if not, that is noted.
bool Look::has_room(const Built& built, std::size_t most, const char* what)
{
    if (built.size() < most)
        return true;
    leave_out(what);
    return false;
}

void Look::know(const KnownOffsets& known)
{
    known_ = known;
    built_.clear();
    nearest_.clear();
    task_at_.clear();
    kernel_threads_.clear();
}

std::optional<std::int32_t> Look::known(std::string_view member) const
{
    const auto found = known_.find(member);
    return found == known_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint64_t> Look::symbol(std::string_view name) const
{
    const auto found = anchors_.symbols.find(name);
    return found == anchors_.symbols.end() ? std::nullopt : std::optional(found->second);
}

std::optional<std::uint64_t> Look::member(const Instance& instance, std::string_view name)
{
    const auto offset = known(name);
    return offset ? instance.word(*offset) : std::nullopt;
}

const DeepStructure* Look::structure_named(const std::string& name) const
{
    const auto found = std::find_if(structures_->begin(), structures_->end(),
                                    [&](const DeepStructure& structure) { return structure.name == name; });
    return found == structures_->end() ? nullptr : &*found;
}

const std::vector<Instance>& Look::instances(const DeepStructure& structure)
{
    const auto known = built_.find(structure.name);
    if (known != built_.end())
        return known->second;
    Built found = build(structure);
    return built_.insert_or_assign(structure.name, std::move(found)).first->second;
}

const std::vector<Instance>& Look::instances_named(std::string_view name)
{
    static const std::vector<Instance> none;
    const DeepStructure* structure = structure_named(std::string(name));
    return structure ? instances(*structure) : none;
}

std::uint64_t Look::nearest(std::string_view structure)
{
    if (const auto answered = nearest_.find(structure); answered != nearest_.end())
        return answered->second;
    std::set<std::uint64_t> addresses;
    for (const Instance& one : instances_named(structure))
        addresses.insert(one.address);
    std::uint64_t nearest = ~std::uint64_t{0}, before = 0;
    for (const std::uint64_t address : addresses) {
        nearest = std::min(nearest, before ? address - before : nearest);
        before = address;
    }
    return nearest_.emplace(structure, nearest).first->second;
}

const std::vector<Instance>& Look::tasks()
{
    return instances_named("task_struct");
}

const Instance* Look::task_at(std::uint64_t address)
{
    if (task_at_.empty())
        for (const Instance& task : tasks())
            task_at_.emplace(task.address, &task);
    const auto found = task_at_.find(address);
    return found == task_at_.end() ? nullptr : found->second;
}

bool Look::is_kernel_thread(const Instance& task)
{
    const auto answered = kernel_threads_.find(task.address);
    if (answered != kernel_threads_.end())
        return answered->second;
    const auto pid = known("task_struct.pid");
    bool is = false;
    if (pid && member(task, "task_struct.mm") == 0u) {
        const auto parent = member(task, "task_struct.real_parent");
        const Instance* made_by = parent ? task_at(*parent) : nullptr;
        is = task.address == anchors_.init_task || task.value<std::int32_t>(*pid) == 2 ||
             (made_by && made_by->value<std::int32_t>(*pid) == 2);
    }
    return kernel_threads_.emplace(task.address, is).first->second;
}

Instance Look::read(std::uint64_t address, const DeepStructure& structure, const Instance* owner)
{
    Instance instance;
    instance.address = address;
    instance.owner = owner;
    instance.low = structure.low;
    const auto start = [&] { return address + static_cast<std::uint64_t>(static_cast<std::int64_t>(instance.low)); };
    // before it there may be nothing: a module's data are an area of its own since 6.4
    while (instance.low < 0 && !leads_somewhere(start() & ~std::uint64_t{word_size - 1}))
        instance.low = std::min<std::int32_t>(0, instance.low + static_cast<std::int32_t>(page_size - start() % page_size));
    instance.bytes = block(start(), static_cast<std::size_t>(structure.high - instance.low));
    return instance;
}

Look::Built Look::build(const DeepStructure& structure)
{
    if (structure.source == "tasks")
        return build_tasks(structure);
    if (structure.source == "modules")
        return build_modules(structure);
    if (structure.source == "symbol")
        return build_linked(structure);
    if (structure.source == "areas")
        return build_areas(structure);
    if (structure.source == "files")
        return build_files(structure);
    if (structure.source == "dentries")
        return build_dentries(structure);
    if (structure.source == "sockets")
        return build_sockets(structure);
    if (structure.source == "mounts")
        return build_mounts(structure);
    if (structure.source == "trees" || structure.source == "nodes")
        return build_trees(structure, structure.source == "nodes");
    return build_pointed(structure);
}

std::vector<std::uint64_t> Look::nodes_of_list(std::uint64_t node)
{
    std::vector<std::uint64_t> nodes;
    std::uint64_t from = node;
    for (auto next = word(node); next && nodes.size() < limits_.list; next = word(*next)) {
        if (word(*next + word_size) != from)
            return {};
        if (*next == node)
            return nodes;
        nodes.push_back(*next);
        from = *next;
    }
    return {};
}

std::string Look::text_at(std::uint64_t gva, std::size_t size)
{
    const Bytes& bytes = block(gva, size);
    return is_text(bytes) ? terminated(bytes).value() : std::string();
}

bool Look::is_thread_of(const Instance& leader, std::uint64_t address)
{
    const auto mm = known("task_struct.mm"), pid = known("task_struct.pid"), comm = known("task_struct.comm");
    if (!mm || !pid || !comm || !leads_somewhere(address))
        return false;
    const auto at = [&](std::int32_t offset) { return moved(address, offset); };
    const auto number = value<std::int32_t>(at(*pid));
    return word(at(*mm)) == leader.word(*mm) && number && *number > 0 && *number <= largest_pid &&
           *number != leader.value<std::int32_t>(*pid) && is_text(block(at(*comm), 16));
}

Look::Built Look::build_tasks(const DeepStructure& structure)
{
    const auto tasks = known("task_struct.tasks");
    if (!tasks)
        return {};
    const auto offset = static_cast<std::uint64_t>(*tasks);
    std::vector<std::uint64_t> found{anchors_.init_task};
    for (const std::uint64_t node : nodes_of_list(anchors_.init_task + offset))
        if (found.size() < limits_.instances)
            found.push_back(node - offset);
        else
            leave_out("processes");
    if (found.size() < 3) // it was being changed, or there is nothing yet
        return {};

    Built built;
    const std::size_t most = 2 * limits_.instances;
    built.reserve(most);
    for (const std::uint64_t address : found)
        built.push_back(read(address, structure, nullptr));
    const std::set<std::uint64_t> leaders(found.begin(), found.end());
    const std::size_t processes = built.size();
    for (std::size_t i = 0; i < processes; i++) {
        Instance& leader = built[i];
        leader.owner =
            &leader; // the vector does not move: its place is reserved, and so it stays when it is moved from
        for (const char* name : {"task_struct.thread_node", "task_struct.thread_group"}) {
            const auto list = known(name);
            if (!list)
                continue;
            for (const std::uint64_t node :
                 nodes_of_list(moved(leader.address, *list))) {
                const std::uint64_t address = moved(node, -std::int64_t{*list});
                if (!leaders.contains(address) && is_thread_of(leader, address) && has_room(built, most, "threads"))
                    built.push_back(read(address, structure, &leader));
            }
            break;
        }
    }
    return built;
}

Look::Built Look::build_modules(const DeepStructure& structure)
{
    Built built;
    if (!anchors_.modules) // a kernel that has none
        return built;
    for (const std::uint64_t node : nodes_of_list(anchors_.modules))
        if (has_room(built, limits_.instances, "modules"))
            built.push_back(read(node, structure, nullptr));
    return built;
}

Look::Built Look::build_linked(const DeepStructure& structure)
{
    Built built;
    if (const auto address = symbol(structure.symbol); address && leads_somewhere(*address))
        built.push_back(read(*address, structure, nullptr));
    return built;
}

Look::Built Look::build_pointed(const DeepStructure& structure)
{
    Built built;
    std::set<std::uint64_t> seen;
    for (const std::string& pointer : structure.pointers) {
        const DeepStructure* from = structure_named(pointer.substr(0, pointer.find('.')));
        const auto offset = known(pointer);
        if (!from || !offset)
            continue;
        for (const Instance& instance : instances(*from)) {
            const auto target = instance.word(*offset);
            if (target && leads_somewhere(*target) && built.size() < limits_.instances &&
                seen.insert(*target).second)
                built.push_back(read(*target, structure, &instance));
        }
    }
    return built;
}

Look::Built Look::build_areas(const DeepStructure& structure)
{
    const DeepStructure* mm = structure_named("mm_struct");
    Built built;
    if (!mm)
        return built;
    for (const Instance& instance : instances(*mm))
        for (const Area& area : areas(instance))
            if (built.size() < 4 * limits_.instances)
                built.push_back(read(area.address, structure, &instance));
    return built;
}

std::vector<Look::OpenFile> Look::open_files(const Instance& task)
{
    const auto files = member(task, "task_struct.files");
    const auto fdt = known("files_struct.fdt"), fd = known("fdtable.fd"), max = known("fdtable.max_fds");
    if (!files || !fdt || !fd || !max || !leads_somewhere(*files))
        return {};
    const auto table = word(moved(*files, *fdt));
    if (!table || !leads_somewhere(*table))
        return {};
    const auto array = word(moved(*table, *fd));
    const auto length = value<std::uint32_t>(moved(*table, *max));
    if (!array || !length || !leads_somewhere(*array))
        return {};
    std::vector<OpenFile> found;
    if (*length > limits_.files)
        leave_out("files with high descriptors");
    for (std::uint32_t i = 0; i < std::min<std::size_t>(*length, limits_.files); i++)
        if (const auto file = word(*array + i * word_size); file && *file && leads_somewhere(*file))
            found.push_back({i, *file});
    return found;
}

Look::Built Look::build_files(const DeepStructure& structure)
{
    const DeepStructure* mm = structure_named("mm_struct");
    const auto exe = known("mm_struct.exe_file");
    Built built;
    std::set<std::uint64_t> seen;
    const auto add = [&](std::uint64_t address, const Instance* owner) {
        if (built.size() < 2 * limits_.instances && leads_somewhere(address) && seen.insert(address).second)
            built.push_back(read(address, structure, owner));
    };
    if (mm && exe)
        for (const Instance& instance : instances(*mm))
            if (const auto file = instance.word(*exe))
                add(*file, &instance);
    for (const Instance& task : tasks())
        if (task.leads())
            for (const OpenFile& open : open_files(task))
                add(open.file, nullptr);
    return built;
}

Look::Built Look::build_dentries(const DeepStructure& structure)
{
    const DeepStructure* file = structure_named("file");
    const auto dentry = known("file.f_path.dentry");
    Built built;
    if (!file || !dentry)
        return built;
    const auto parent = known("dentry.d_parent");
    std::set<std::uint64_t> seen;
    const DeepStructure* mount = structure_named("mount");
    const auto root = known("vfsmount.mnt_root");
    if (mount && root)
        for (const Instance& instance : instances(*mount)) { // the roots of all file systems
            const auto path = path_of(instance.word(*root).value_or(0));
            if (!path.empty() && seen.insert(path.back()).second && built.size() < limits_.instances)
                built.push_back(read(path.back(), structure, nullptr));
        }
    for (const Instance& instance : instances(*file)) {
        auto next = instance.word(*dentry);
        for (unsigned i = 0; i < most_parents && next && leads_somewhere(*next) &&
                             seen.insert(*next).second && built.size() < 4 * limits_.instances;
             i++) {
            // the owner of a parent directory is none: it is no file that somebody runs
            built.push_back(read(*next, structure, i ? nullptr : &instance));
            next = parent ? built.back().word(*parent) : std::nullopt;
        }
    }
    return built;
}

std::optional<Look::Inode> Look::inode_of(const Instance& file)
{
    return inode_at(member(file, "file.f_inode"));
}

std::optional<Look::Inode> Look::inode_at(std::optional<std::uint64_t> inode)
{
    const auto mode = known("inode.i_mode");
    if (!mode || !inode || !leads_somewhere(*inode))
        return std::nullopt;
    const auto found = value<std::uint16_t>(moved(*inode, *mode));
    return found ? std::optional(Inode{*inode, *found}) : std::nullopt;
}

Look::Built Look::build_sockets(const DeepStructure& structure)
{
    constexpr std::uint16_t kind = 0xf000, socket = 0xc000; // S_IFMT, S_IFSOCK
    const DeepStructure* file = structure_named("file");
    Built built;
    std::set<std::uint64_t> seen;
    if (!file || !known("file.private_data"))
        return built;
    for (const Instance& instance : instances(*file)) {
        const auto inode = inode_of(instance);
        const auto address = member(instance, "file.private_data");
        if (inode && (inode->mode & kind) == socket && address && leads_somewhere(*address) &&
            built.size() < 2 * limits_.instances && seen.insert(*address).second)
            built.push_back(read(*address, structure, &instance));
    }
    return built;
}

Look::Built Look::build_mounts(const DeepStructure& structure)
{
    Built built;
    std::set<std::uint64_t> seen;
    const auto add = [&](std::optional<std::uint64_t> address) {
        if (address && built.size() < limits_.instances && is_mount(*address) && seen.insert(*address).second)
            built.push_back(read(*address, structure, nullptr));
    };
    if (const DeepStructure* file = structure_named("file"))
        for (const Instance& instance : instances(*file))
            add(member(instance, "file.f_path.mnt"));
    if (const DeepStructure* fs = structure_named("fs_struct"))
        for (const Instance& instance : instances(*fs))
            for (const char* name : {"fs_struct.root.mnt", "fs_struct.pwd.mnt"})
                add(member(instance, name));
    // what they are mounted on, and what is mounted on them
    const auto parent = known("mount.mnt_parent"), mnt = known("mount.mnt"), mounts = known("mount.mnt_mounts"),
               child = known("mount.mnt_child");
    for (std::size_t i = 0; parent && mnt && i < built.size(); i++) {
        if (const auto up = built[i].word(*parent); up && leads_somewhere(*up))
            add(moved(*up, *mnt));
        if (mounts && child)
            for (const std::uint64_t node : nodes_of_list(moved(built[i].address, *mounts)))
                add(moved(node, -std::int64_t{*child}));
    }
    return built;
}

std::string Look::kind_of_file_system(std::uint64_t super_block)
{
    constexpr std::size_t longest = 32;
    const auto type = known("super_block.s_type"), name = known("file_system_type.name");
    if (!type || !name || !leads_somewhere(super_block))
        return {};
    const auto kind = word(moved(super_block, *type));
    const auto text = kind && leads_somewhere(*kind) ? word(moved(*kind, *name)) : std::nullopt;
    if (!text || !(*text >> 63))
        return {};
    return terminated(block(*text, longest)).value_or(std::string());
}

// The trees of areas, or their nodes; who owns them is the memory.
Look::Built Look::build_trees(const DeepStructure& structure, bool nodes)
{
    const DeepStructure* mm = structure_named("mm_struct");
    const auto place = known("mm_struct.mm_mt"), root = known("maple_tree.ma_root");
    Built built;
    if (!mm || !place || !root)
        return built;
    for (const Instance& instance : instances(*mm)) {
        const std::uint64_t at = moved(instance.address, *place);
        const auto entry = instance.word(*place + *root);
        if (!entry)
            continue;
        const std::vector<std::uint64_t> found = tree(at, *entry).nodes;
        if (!nodes && !found.empty() && built.size() < limits_.instances)
            built.push_back(read(at, structure, &instance));
        for (std::size_t i = 0; nodes && i < found.size() && built.size() < 2 * limits_.instances; i++)
            built.push_back(read(found[i], structure, &instance));
    }
    return built;
}

bool Look::is_mount(std::uint64_t vfsmount)
{
    const auto root = known("vfsmount.mnt_root");
    if (!root || !leads_somewhere(vfsmount))
        return false;
    const auto dentry = word(moved(vfsmount, *root));
    return dentry && is_dentry(*dentry);
}

std::vector<std::uint64_t> Look::path_of(std::uint64_t dentry)
{
    const auto parent = known("dentry.d_parent");
    std::vector<std::uint64_t> path;
    for (std::uint64_t at = dentry; parent && path.size() < most_parents;) {
        if (!dentry_name(at))
            return {};
        path.push_back(at);
        const auto up = word(moved(at, *parent));
        if (!up)
            return {};
        if (*up == at)
            return path;
        at = *up;
    }
    return {};
}

bool Look::leads_somewhere(std::uint64_t pointer)
{
    step();
    if (!(pointer >> 63) || pointer % word_size || pointer >= ~std::uint64_t{0} - page_size)
        return false;
    const auto known = mapped_.find(pointer / page_size);
    if (known != mapped_.end())
        return known->second;
    if (mapped_.size() == most_pages)
        mapped_.clear();
    return mapped_.emplace(pointer / page_size, memory_.translate(pointer).has_value()).first->second;
}

bool Look::leads_to_text(std::uint64_t pointer)
{
    return leads_somewhere(pointer / word_size * word_size);
}

std::optional<std::uint64_t> Look::word(std::uint64_t gva)
{
    return value<std::uint64_t>(gva);
}

const Bytes& Look::block(std::uint64_t gva, std::size_t size)
{
    step();
    const auto known = blocks_.find({gva, size});
    if (known != blocks_.end())
        return known->second;
    breathe();
    keep(size + per_block);
    Bytes bytes;
    while (bytes.size() < size) {
        const std::uint64_t at = gva + bytes.size();
        if (at < gva || !memory_.translate(at))
            break;
        try {
            const Bytes part =
                memory_.read(at, std::min<std::size_t>(page_size - at % page_size, size - bytes.size()));
            bytes.insert(bytes.end(), part.begin(), part.end());
        } catch (const Error&) { // mapped to where no memory is
            leave_out("what could not be read");
            break;
        }
    }
    return blocks_.emplace(std::pair(gva, size), std::move(bytes)).first->second;
}

AddressSpace* Look::user_space(const Instance& mm)
{
    const auto pgd = member(mm, "mm_struct.pgd");
    const auto root = pgd && leads_somewhere(*pgd) ? memory_.translate(*pgd) : std::nullopt;
    if (!root)
        return nullptr;
    if (users_.size() >= most_users && !users_.contains(*root))
        users_.clear();
    return &users_.try_emplace(*root, clean_.under(*root)).first->second;
}

Bytes Look::user_bytes(const Instance& mm, std::uint64_t gva, std::size_t size)
{
    step();
    AddressSpace* space = is_user(gva) ? user_space(mm) : nullptr;
    if (!space)
        return {};
    try {
        Bytes bytes;
        while (bytes.size() < size && space->translate(gva + bytes.size())) {
            const std::uint64_t at = gva + bytes.size();
            const Bytes part =
                space->read(at, std::min<std::size_t>(page_size - at % page_size, size - bytes.size()));
            bytes.insert(bytes.end(), part.begin(), part.end());
        }
        return bytes;
    } catch (const Error&) {
        if (std::chrono::steady_clock::now() > deadline_)
            throw;
        return {};
    }
}

std::optional<std::uint64_t> Look::user_word(const Instance& mm, std::uint64_t gva)
{
    return load<std::uint64_t>(user_bytes(mm, gva, word_size), 0);
}

std::optional<std::uint64_t> Look::auxiliary(const Instance& mm, std::uint64_t type)
{
    constexpr std::int32_t most_entries = 32;
    const auto vector = known("mm_struct.saved_auxv");
    for (std::int32_t i = 0; vector && i < most_entries; i++) {
        const auto here = mm.word(*vector + 16 * i);
        if (!here || !*here)
            break;
        if (*here == type)
            return mm.word(*vector + 16 * i + 8);
    }
    return std::nullopt;
}

std::vector<std::uint64_t> Look::landmarks(const Instance& mm)
{
    constexpr std::array<std::uint64_t, 4> types{3, 9, 25,
                                                 33}; // AT_PHDR, AT_ENTRY, AT_RANDOM, AT_SYSINFO_EHDR
    std::vector<std::uint64_t> found;
    for (const std::uint64_t type : types)
        if (const auto address = auxiliary(mm, type))
            found.push_back(*address);
    if (found.size() != types.size())
        return {};
    if (const auto code = member(mm, "mm_struct.start_code"))
        found.push_back(*code);
    return found;
}

Look::Tree Look::tree(std::uint64_t tree, std::uint64_t root)
{
    const auto node_of = [](std::uint64_t entry) { return entry & ~std::uint64_t{tree_node - 1}; };
    if (root % word_size == 0 || !leads_somewhere(node_of(root)))
        return {};
    const auto back = word(node_of(root));
    if (!back || (*back & ~std::uint64_t{word_size - 1}) != tree)
        return {};
    std::vector<std::uint64_t> nodes{node_of(root)}, words;
    std::set<std::uint64_t> seen(nodes.begin(), nodes.end());
    for (std::size_t i = 0; i < nodes.size(); i++) {
        const Bytes content = block(nodes[i], tree_node);
        for (std::size_t at = word_size; at + word_size <= content.size(); at += word_size) {
            const auto entry = *load<std::uint64_t>(content, at);
            words.push_back(entry);
            if (entry % tree_node == 0 || !leads_somewhere(node_of(entry)))
                continue;
            const auto parent = word(node_of(entry));
            if (!parent || node_of(*parent) != nodes[i] || !seen.insert(node_of(entry)).second)
                continue;
            if (nodes.size() < limits_.tree_nodes)
                nodes.push_back(node_of(entry));
            else
                leave_out("areas");
        }
    }
    return {std::move(nodes), std::move(words)};
}

std::vector<Area> Look::areas_among(const std::vector<std::uint64_t>& words, const Instance& mm,
                                    const AreaLayout& layout)
{
    const std::set<std::uint64_t> all(words.begin(), words.end());
    std::vector<Area> found;
    for (const std::uint64_t entry : all) {
        if (!leads_somewhere(entry))
            continue;
        const Bytes& bytes = block(entry, area_bytes);
        const auto at = [&](std::int32_t offset) {
            return load<std::uint64_t>(bytes, static_cast<std::uint64_t>(offset));
        };
        const auto start = at(layout.start), end = at(layout.end);
        if (at(layout.mm) != mm.address || !start || !end || *start >= *end || *start % page_size ||
            *end % page_size)
            continue;
        // What was removed may still stand in a node, but the bounds between entries are only those that
        // count.
        if (all.contains(*end - 1) || all.contains(*start - 1))
            found.push_back({entry, *start, *end});
    }
    std::sort(found.begin(), found.end(), [](const Area& a, const Area& b) { return a.start < b.start; });
    return found;
}

bool Look::cover(const std::vector<Area>& areas, const std::vector<std::uint64_t>& landmarks)
{
    if (areas.size() < 3 || landmarks.empty())
        return false;
    for (std::size_t i = 1; i < areas.size(); i++)
        if (areas[i - 1].end > areas[i].start)
            return false;
    return std::all_of(landmarks.begin(), landmarks.end(), [&](std::uint64_t landmark) {
        return std::any_of(areas.begin(), areas.end(),
                           [&](const Area& area) { return area.holds(landmark); });
    });
}

std::vector<Area> Look::areas(const Instance& mm)
{
    std::vector<Area> found = all_areas(mm);
    // One that is being changed tells nothing.
    return cover(found, landmarks(mm)) ? found : std::vector<Area>();
}

std::vector<Area> Look::all_areas(const Instance& mm)
{
    const auto back = known("vm_area_struct.vm_mm"), start = known("vm_area_struct.vm_start"),
               end = known("vm_area_struct.vm_end");
    if (!back || !start || !end)
        return {};
    std::vector<Area> found;
    const auto tree = known("mm_struct.mm_mt"), root = known("maple_tree.ma_root");
    if (tree && root) {
        if (const auto entry = mm.word(*tree + *root))
            found = areas_among(tree_words(moved(mm.address, *tree), *entry), mm,
                                {*back, *start, *end});
    } else if (const auto next = known("vm_area_struct.vm_next")) {
        auto address = member(mm, "mm_struct.mmap");
        std::set<std::uint64_t> seen;
        while (address && *address && leads_somewhere(*address)) {
            if (!seen.insert(*address).second)
                return {}; // it was being changed
            if (found.size() == limits_.list) {
                leave_out("areas");
                break;
            }
            const auto at = [&](std::int32_t offset) {
                return word(moved(*address, offset)).value_or(0);
            };
            if (at(*back) != mm.address)
                return {};
            found.push_back({*address, at(*start), at(*end)});
            address = at(*next);
        }
    }
    return found;
}

std::optional<std::string> Look::dentry_name(std::uint64_t address)
{
    const auto name = known("dentry.d_name.name");
    if (!name || !leads_somewhere(address))
        return std::nullopt;
    const auto text = word(moved(address, *name));
    if (!text || !(*text >> 63))
        return std::nullopt;
    return terminated(block(*text, 256));
}

bool Look::is_dentry(std::uint64_t address)
{
    return !path_of(address).empty();
}

} // namespace lacuna
