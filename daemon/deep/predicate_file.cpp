// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of files and names.
#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include "predicate.h"

namespace lacuna {

namespace {

constexpr std::size_t word = 8;

std::uint64_t at(const Bytes& bytes, std::size_t offset)
{
    return load<std::uint64_t>(bytes, offset).value_or(0);
}

// It leads to the open files of a process: over one pointer to a table with an array of pointers and a map of
// bits that says which of them are there. Constants: fdt; fd, open_fds, max_fds.
Answer leads_to_open_files(Look& look, const Instance& task, std::int32_t offset)
{
    constexpr std::size_t files_window = 256, table_size = 64,
                          looked_at = 64; // descriptors: as many as a table has at least
    constexpr int enough = 3;             // fewer files look like nothing
    const auto value = task.word(offset);
    if (look.member(task, "task_struct.mm").value_or(0) == 0)
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes files = look.block(*value, files_window);
    for (std::size_t fdt = 0; fdt + word <= files.size(); fdt += word) {
        // the head of an empty list leads to itself, and so does what is behind it
        const std::uint64_t place = *value + fdt;
        if (!look.leads_somewhere(at(files, fdt)) || at(files, fdt) == place ||
            at(files, fdt) == place - word)
            continue;
        const Bytes table = look.block(at(files, fdt), table_size);
        for (std::size_t fd = 0; fd + word <= table.size(); fd += word) {
            if (!look.leads_somewhere(at(table, fd)))
                continue;
            const Bytes array = look.block(at(table, fd), looked_at * word);
            std::uint64_t there = 0;
            bool pointers = array.size() == looked_at * word;
            for (std::size_t i = 0; pointers && i < looked_at; i++) {
                const std::uint64_t file = at(array, i * word);
                pointers = !file || look.leads_somewhere(file);
                there |= std::uint64_t{file != 0} << i;
            }
            if (!pointers || std::popcount(there) < enough)
                continue;
            for (std::size_t map = 0; map + word <= table.size(); map += word) {
                if (map == fd || !look.leads_somewhere(at(table, map)) || look.word(at(table, map)) != there)
                    continue;
                for (std::size_t max = 0; max + 4 <= table.size(); max += 4) {
                    const auto most = load<std::uint32_t>(table, max).value_or(0);
                    if (most && most % looked_at == 0 && std::has_single_bit(most) && most <= 1u << 30 &&
                        (max / word != fd / word && max / word != map / word))
                        answer.add({static_cast<std::int32_t>(fdt), static_cast<std::int32_t>(fd),
                                    static_cast<std::int32_t>(map), static_cast<std::int32_t>(max)});
                }
            }
        }
    }
    return answer;
}

// The last part of the path that the program was started by.
std::string program_name(Look& look, const Instance& mm)
{
    constexpr std::uint64_t at_execfn = 31;
    const auto path = look.auxiliary(mm, at_execfn);
    if (!path)
        return {};
    const Bytes bytes = look.user_bytes(mm, *path, 256);
    const auto end = std::find(bytes.begin(), bytes.end(), 0);
    if (end == bytes.end())
        return {};
    const std::string text(bytes.begin(), end);
    const std::string name = text.substr(text.rfind('/') + 1);
    return name.size() < 2 ? std::string() : name;
}

// Over two pointers it leads to the name of the program. Constants: f_path.dentry, d_name.name.
Answer leads_to_program_name(Look& look, const Instance& mm, std::int32_t offset)
{
    constexpr std::size_t file_window = 384, dentry_window = 192;
    const auto value = mm.word(offset);
    const std::string name = program_name(look, mm);
    if (name.empty())
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes file = look.block(*value, file_window);
    for (std::size_t dentry = 0; dentry + word <= file.size(); dentry += word) {
        if (!look.leads_somewhere(at(file, dentry)))
            continue;
        const Bytes inside = look.block(at(file, dentry), dentry_window);
        for (std::size_t text = 0; text + word <= inside.size(); text += word) {
            if (!(at(inside, text) >> 63))
                continue;
            const Bytes& bytes = look.block(at(inside, text), 64);
            if (bytes.size() > name.size() && std::equal(name.begin(), name.end(), bytes.begin()) &&
                bytes[name.size()] == 0)
                answer.add({static_cast<std::int32_t>(dentry), static_cast<std::int32_t>(text)});
        }
    }
    return answer;
}

// It leads to another of its kind, and on from there, always to something with a name, until one leads to
// itself.
Answer leads_up(Look& look, const Instance& dentry, std::int32_t offset)
{
    constexpr unsigned most = 64;
    if (!look.known("dentry.d_name.name"))
        return {};
    std::uint64_t place = dentry.address;
    for (unsigned steps = 0; steps < most; steps++) {
        const auto up = look.word(moved(place, offset));
        if (!look.dentry_name(place) || !up || !look.leads_somewhere(*up))
            return Answer::refusal();
        if (*up == place)
            return steps ? Answer::show(*dentry.word(offset)) : Answer::pass();
        place = *up;
    }
    return Answer::refusal();
}

// It leads to what kind of file this is: a program is a file, what it lies in are directories. Constant:
// i_mode.
Answer leads_to_mode(Look& look, const Instance& dentry, std::int32_t offset)
{
    constexpr std::size_t window = 512;
    constexpr std::uint16_t kind = 0xf000, file = 0x8000, directory = 0x4000,
                            may = 0x49; // S_IFMT, S_IFREG, S_IFDIR, x for all
    const auto parent = look.known("dentry.d_parent");
    const auto value = dentry.word(offset);
    // A dentry of something that runs is owned by its file, which is owned by memory; a parent by nothing.
    const bool program = dentry.owner && dentry.owner->owner;
    const bool above = !dentry.owner;
    if (!parent || (!program && !above))
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes& inode = look.block(*value, window);
    for (std::size_t mode = 0; mode + 2 <= inode.size(); mode += 2) {
        const auto found = load<std::uint16_t>(inode, mode).value_or(0);
        if (program ? (found & kind) == file && found & may : (found & kind) == directory)
            answer.add({static_cast<std::int32_t>(mode)});
    }
    return answer;
}

// It leads to something that leads to the directory, or one above it, that this name lies in: the root of its
// mount. Constant: mnt_root.
Answer leads_to_mount(Look& look, const Instance& file, std::int32_t offset)
{
    constexpr std::size_t window = 64;
    constexpr unsigned most = 64;
    const auto dentry = look.member(file, "file.f_path.dentry");
    const auto parent = look.known("dentry.d_parent");
    const auto value = file.word(offset);
    if (!dentry || !parent || !look.is_dentry(*dentry))
        return {};
    if (!value || !look.leads_somewhere(*value) || *value == *dentry)
        return Answer::refusal();
    std::vector<std::uint64_t> above;
    for (auto up = dentry; up && above.size() < most && (above.empty() || above.back() != *up);
         up = look.word(moved(*up, *parent)))
        above.push_back(*up);
    if (above.size() < 2) // of what lies in no directory there is nothing to be told apart
        return {};
    Answer answer = Answer::searching(*value);
    const Bytes bytes = look.block(*value, window);
    for (std::size_t root = 0; root + word <= bytes.size(); root += word)
        if (std::find(above.begin() + 1, above.end(), at(bytes, root)) != above.end())
            answer.add({static_cast<std::int32_t>(root)});
    return answer;
}

// Name and inode lead to the same file system. Constant: i_sb.
Answer shared_with_inode(Look& look, const Instance& dentry, std::int32_t offset)
{
    constexpr std::size_t window = 256;
    const auto inode = look.member(dentry, "dentry.d_inode");
    const auto value = dentry.word(offset);
    if (!inode || !look.leads_somewhere(*inode))
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes bytes = look.block(*inode, window);
    for (std::size_t sb = 0; sb + word <= bytes.size(); sb += word)
        if (at(bytes, sb) == *value)
            answer.add({static_cast<std::int32_t>(sb)});
    return answer;
}

// The file that led to it holds the same pointer. Constant: f_inode.
Answer held_by_file(Look& look, const Instance& dentry, std::int32_t offset)
{
    const auto value = dentry.word(offset);
    if (!dentry.owner)
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    for (std::size_t at = 0; const auto held = dentry.owner->word(static_cast<std::int32_t>(at)); at += word)
        if (*held == *value)
            answer.add({static_cast<std::int32_t>(at)});
    return answer;
}

bool is_root(Look& look, std::uint64_t dentry)
{
    const auto parent = look.known("dentry.d_parent");
    return parent && look.dentry_name(dentry) == "/" &&
           look.word(moved(dentry, *parent)) == dentry;
}

// It leads to a structure with two pairs of pointers to a mount and something with a name: the one to the root that process 1
// has, the other to where the process is, which may be a root of another file system. Constants: the dentries of root and pwd.
Answer leads_to_root(Look& look, const Instance& task, std::int32_t offset)
{
    constexpr std::size_t window = 128; // as fs_struct's: with PREEMPT_RT its lock and its count take 60 bytes
    const auto value = task.word(offset);
    if (!look.known("dentry.d_parent") || look.member(task, "task_struct.mm").value_or(0) == 0)
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    const auto& tasks = look.tasks();
    const auto first = tasks.size() > 1 ? tasks[1].word(offset).value_or(0) : 0;
    if (!look.leads_somewhere(first))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    const Bytes bytes = look.block(*value, window), of_first = look.block(first, window);
    for (std::size_t root = 0; root + word <= bytes.size(); root += word)
        for (std::size_t now = 0; now + word <= bytes.size(); now += word)
            if (now != root && at(bytes, root) == at(of_first, root) && is_root(look, at(bytes, root)) &&
                look.is_dentry(at(bytes, now)))
                answer.add({static_cast<std::int32_t>(root), static_cast<std::int32_t>(now)});
    return answer;
}

// What the first directory of a file system has for its number; 0: that is not the same in all of its kind.
std::uint64_t number_of_root(std::string_view file_system)
{
    struct Known {
        std::string_view file_system;
        std::uint64_t root;
    };
    // PROC_ROOT_INO (fs/proc), the first number that kernfs gives (fs/kernfs), EXT4_ROOT_INO (fs/ext4)
    constexpr auto all = std::to_array<Known>({{"proc", 1}, {"sysfs", 1}, {"cgroup2", 1}, {"ext2", 2}, {"ext3", 2}, {"ext4", 2}});
    const auto known = std::find_if(all.begin(), all.end(), [&](const Known& one) { return one.file_system == file_system; });
    return known == all.end() ? 0 : known->root;
}

// Whether the root that the inode belongs to is known to have that number, or not to have it; nothing: it is not known of this one.
std::optional<bool> is_number_of_root(Look& look, const Instance& inode, std::int32_t offset)
{
    if (!inode.owner || look.member(*inode.owner, "dentry.d_parent") != inode.owner->address)
        return std::nullopt;
    const std::uint64_t root = number_of_root(look.kind_of_file_system(look.member(*inode.owner, "dentry.d_sb").value_or(0)));
    return root ? std::optional(inode.word(offset) == root) : std::nullopt;
}

// The number of an inode: the roots of some kinds of file systems have one that programs rely on, and what lies in one of those
// file systems has a number that nothing else in it has. That is not so in others: a part of btrfs counts for itself, and what has
// no place in a directory (anonymous files, sockets) may have a root's number.
Answer number_of_inode(Look& look, const Instance& inode, std::int32_t offset)
{
    const auto parent = look.known("dentry.d_parent");
    if (!inode.owner || !parent || !look.known("super_block.s_type"))
        return {};
    const std::uint64_t number = inode.word(offset).value_or(0);
    const auto file_system = look.member(*inode.owner, "dentry.d_sb");
    if (!file_system || !number_of_root(look.kind_of_file_system(*file_system)))
        return {};
    if (!number || number >> 63 || is_number_of_root(look, inode, offset) == false)
        return Answer::refusal();
    const auto lies_in_directory = [&](const Instance& one) { return one.owner->word(*parent) != one.owner->address; };
    bool root_seen = false;
    for (const Instance& other : look.instances_named("inode")) {
        if (!other.owner)
            continue;
        if (other.address != inode.address && look.member(*other.owner, "dentry.d_sb") == file_system &&
            lies_in_directory(inode) && lies_in_directory(other) && other.word(offset) == number)
            return Answer::refusal();
        root_seen = root_seen || is_number_of_root(look, other, offset) == true;
    }
    return root_seen ? Answer::show(number) : Answer::pass();
}

// A program's file ends with the headers of its sections, and its first header says where those are.
Answer size_by_header(Look& look, const Instance& inode, std::int32_t offset)
{
    constexpr std::uint64_t at_phdr = 3, header = 64; // of ELF for 64 bits; the program's headers follow at once
    const Instance* file = inode.owner ? inode.owner->owner : nullptr;
    const Instance* mm = file ? file->owner : nullptr;
    const auto headers = mm ? look.auxiliary(*mm, at_phdr) : std::nullopt;
    if (!headers || *headers < header)
        return {};
    const Bytes bytes = look.user_bytes(*mm, *headers - header, header);
    constexpr std::array<std::uint8_t, 5> magic{0x7f, 'E', 'L', 'F', 2};
    if (bytes.size() < header || !std::equal(magic.begin(), magic.end(), bytes.begin()) || at(bytes, 32) != header)
        return {};
    const std::uint64_t sections = at(bytes, 40);
    const auto size = load<std::uint16_t>(bytes, 58).value_or(0), count = load<std::uint16_t>(bytes, 60).value_or(0);
    if (!sections || !size || !count || sections >> 48)
        return {};
    const std::uint64_t end = sections + std::uint64_t{size} * count;
    return inode.word(offset) == end ? Answer::show(end) : Answer::refusal();
}

constexpr std::uint16_t kind_of_file = 0xf000, socket_file = 0xc000; // S_IFMT, S_IFSOCK

// Names that are sockets lead to a table in which there is this function of the kernel's. Constant: where.
Predicate leads_to_function(const DeepConstraint& constraint, const DeepMember&)
{
    return [symbol = constraint.arguments.at("symbol").get<std::string>()](Look& look, const Instance& dentry, std::int32_t offset) {
        constexpr std::size_t window = 256;
        const auto function = look.symbol(symbol);
        const auto inode = look.inode_at(look.member(dentry, "dentry.d_inode"));
        if (!function || !inode || (inode->mode & kind_of_file) != socket_file)
            return Answer();
        const auto value = dentry.word(offset);
        if (!value || !look.leads_somewhere(*value))
            return Answer::refusal();
        Answer answer = Answer::searching(dentry.address);
        const Bytes& table = look.block(*value, window);
        for (std::size_t place = 0; place + word <= table.size(); place += word)
            if (at(table, place) == *function)
                answer.add({static_cast<std::int32_t>(place)});
        return answer;
    };
}

// A pointer to this symbol of the kernel's image: in all files that are sockets, or in what the first task has.
Predicate equals_symbol(const DeepConstraint& constraint, const DeepMember&)
{
    const bool of_sockets = constraint.arguments.value("of", "first-task") == "sockets";
    return [symbol = constraint.arguments.at("symbol").get<std::string>(), of_sockets](Look& look, const Instance& instance,
                                                                                      std::int32_t offset) {
        const auto wanted = look.symbol(symbol);
        if (!wanted)
            return Answer();
        if (of_sockets) {
            const auto inode = look.inode_of(instance);
            if (!inode || (inode->mode & kind_of_file) != socket_file)
                return Answer();
        } else if (!instance.owner || instance.owner->address != look.anchors().init_task) {
            return Answer();
        }
        return instance.word(offset) == *wanted ? Answer::show(instance.address) : Answer::refusal();
    };
}

} // namespace

const PredicateMakers& file_predicates()
{
    static const PredicateMakers makers{
        {"leads-to-open-files", plain(leads_to_open_files)},
        {"leads-to-program-name", plain(leads_to_program_name)},
        {"leads-up", plain(leads_up)},
        {"leads-to-mode", plain(leads_to_mode)},
        {"leads-to-mount", plain(leads_to_mount)},
        {"shared-with-inode", plain(shared_with_inode)},
        {"held-by-file", plain(held_by_file)},
        {"leads-to-root", plain(leads_to_root)},
        {"number-of-inode", plain(number_of_inode)},
        {"size-by-header", plain(size_by_header)},
        {"leads-to-function", leads_to_function},
        {"equals-symbol", equals_symbol},
    };
    return makers;
}

} // namespace lacuna
