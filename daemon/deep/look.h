// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "address_space.h"
#include "deep_constraints.h"

namespace lacuna {

// An address in the guest, so far behind another one or before it.
inline std::uint64_t moved(std::uint64_t address, std::int64_t by)
{
    return address + static_cast<std::uint64_t>(by);
}

// One structure of the guest that was found, as it was when it was read.
struct Instance {
    std::uint64_t address = 0;
    const Instance* owner = nullptr; // of a task its group's leader (or itself); else what led to it
    std::int32_t low = 0;            // the offset that `bytes` starts at
    Bytes bytes;                     // may end early, where the guest has nothing mapped

    template <typename T> std::optional<T> value(std::int64_t offset) const
    {
        return offset < low ? std::nullopt : load<T>(bytes, static_cast<std::uint64_t>(offset - low));
    }
    std::optional<std::uint64_t> word(std::int64_t offset) const { return value<std::uint64_t>(offset); }
    bool leads() const { return owner == this; }
};

// One memory area of a process: where it lies, and its vm_area_struct.
struct Area {
    std::uint64_t address = 0, start = 0, end = 0;

    bool holds(std::uint64_t gva) const { return start <= gva && gva < end; }
    bool operator==(const Area&) const = default;
};

// Where an area keeps what it is recognised by.
struct AreaLayout {
    std::int32_t mm = 0, start = 0, end = 0;

    bool operator==(const AreaLayout&) const = default;
};

// What a look starts from.
struct Anchors {
    std::uint64_t init_task = 0, modules = 0; // run-time GVAs; 0: it has none
    std::string release;                      // of the kernel: "6.1.0-56-amd64"
    std::map<std::string, std::uint64_t, std::less<>> symbols{}; // of its image, run-time GVAs: of DeepSolver::symbols() those that are known
};

// What is known already: where a member lies, by its qualified name.
using KnownOffsets = std::map<std::string, std::int32_t, std::less<>>;

// How much of a guest is looked at. To learn from it takes few of each; who wants to see all of them takes more.
struct LookLimits {
    std::size_t instances = 512;    // of one structure; twice as many threads, sockets and files
    std::size_t list = 4096;        // steps
    std::size_t files = 1024;       // of one process
    std::size_t tree_nodes = 512;   // of the areas of one process
    std::size_t kept = 64 << 20;    // bytes: all that is remembered
};

// A guest's memory as it is seen at one time, and the structures found in it. The guest is hostile: lists are
// followed so far and no further, every structure found counts, and all of it ends at a deadline (with
// Error).
class Look {
public:
    // `breathe` is called every now and then: whoever looks may have other things to do, too.
    Look(AddressSpace& memory, const Anchors& anchors, std::chrono::steady_clock::time_point deadline,
         std::function<void()> breathe = {}, const LookLimits& limits = {});

    const LookLimits& limits() const { return limits_; }

    // Throws Error when it is time to give up.
    void breathe();
    // The same, cheap enough to be called at every step of whatever a guest can make long.
    void step()
    {
        if (++steps_ % steps_between == 0)
            breathe();
    }
    // Counts what is remembered until the look ends. Throws Error if that is too much.
    void keep(std::size_t bytes);

    // What has been left out, or could not be read, so far: what is seen is not all there is.
    const std::set<std::string>& left_out() const { return left_out_; }
    void leave_out(const std::string& what) { left_out_.insert(what); }

    // From now on this is known; what has been found by what was known before is looked for again.
    void know(const KnownOffsets& known);
    std::optional<std::int32_t> known(std::string_view member) const;
    const Anchors& anchors() const { return anchors_; }
    // Where a symbol of the image is, if that is known.
    std::optional<std::uint64_t> symbol(std::string_view name) const;

    const std::vector<Instance>& instances(const DeepStructure& structure);
    const std::vector<Instance>& instances_named(std::string_view structure);
    // How far two of a structure are from each other at least, which none is larger than; the largest number where there is but one.
    std::uint64_t nearest(std::string_view structure);
    const DeepStructures& structures() const { return *structures_; }
    void set_structures(const DeepStructures& structures) { structures_ = &structures; }
    // All tasks: the processes on init_task's ring first, in its order, then other threads as far as they are
    // known.
    const std::vector<Instance>& tasks();
    const Instance* task_at(std::uint64_t address);
    // A task that has no memory and was made by kthreadd or before it; as long as it is not known who is
    // whose parent, only those two.
    bool is_kernel_thread(const Instance& task);
    // Whether it has the marks of a thread of that process: same memory, a name, a number of its own.
    bool is_thread_of(const Instance& leader, std::uint64_t address);

    // A pointer to something of the kernel's that can be read.
    bool leads_somewhere(std::uint64_t pointer);
    // The same of a text, which may begin anywhere.
    bool leads_to_text(std::uint64_t pointer);
    std::optional<std::uint64_t> word(std::uint64_t gva);
    template <typename T> std::optional<T> value(std::uint64_t gva)
    {
        const Bytes& bytes = block(gva, sizeof(T));
        return load<T>(bytes, 0);
    }
    // That many bytes, or fewer if not all of them are mapped; remembered until the look ends.
    const Bytes& block(std::uint64_t gva, std::size_t size);
    // The text that starts there and is shorter than that; empty if there is none.
    std::string text_at(std::uint64_t gva, std::size_t size);
    // What is in a process's own memory.
    std::optional<std::uint64_t> user_word(const Instance& mm, std::uint64_t gva);
    Bytes user_bytes(const Instance& mm, std::uint64_t gva, std::size_t size);

    // Of a member of an instance, if it is known where it is.
    std::optional<std::uint64_t> member(const Instance& instance, std::string_view name);

    // A word of the auxiliary vector that the kernel keeps of this memory.
    std::optional<std::uint64_t> auxiliary(const Instance& mm, std::uint64_t type);
    // Addresses that every program has mapped.
    std::vector<std::uint64_t> landmarks(const Instance& mm);
    // In ascending order; empty if it is not known how they are found, or if they leave out what every program has.
    std::vector<Area> areas(const Instance& mm);
    // The same whatever they hold.
    std::vector<Area> all_areas(const Instance& mm);
    // The nodes of the tree whose root this is, that one first, if they lead back to it, and the words in them; else nothing.
    struct Tree {
        std::vector<std::uint64_t> nodes, words;
    };
    Tree tree(std::uint64_t tree, std::uint64_t root);
    std::vector<std::uint64_t> tree_words(std::uint64_t at, std::uint64_t root) { return tree(at, root).words; }
    static constexpr std::size_t tree_node =
        256; // bytes, and what it is aligned to: lib/maple_tree.c keeps type and slot in the low bits
    // Areas that these words lead to.
    std::vector<Area> areas_among(const std::vector<std::uint64_t>& words, const Instance& mm,
                                  const AreaLayout& layout);
    static bool cover(const std::vector<Area>& areas, const std::vector<std::uint64_t>& landmarks);

    // Whether it has a name and leads up to a root.
    bool is_dentry(std::uint64_t address);
    std::optional<std::string> dentry_name(std::uint64_t address);
    // A dentry and all above it, itself first; empty if it is none.
    std::vector<std::uint64_t> path_of(std::uint64_t dentry);
    // What kind of file it is, and its inode, if it is known where that stands.
    struct Inode {
        std::uint64_t address;
        std::uint16_t mode;
    };
    std::optional<Inode> inode_of(const Instance& file);
    std::optional<Inode> inode_at(std::optional<std::uint64_t> address);
    // What kind of file system it is ("proc"), if it is known where that stands.
    std::string kind_of_file_system(std::uint64_t super_block);
    // Whether its root is something with a name that leads up to a root.
    bool is_mount(std::uint64_t vfsmount);
    // Open files of a process.
    struct OpenFile {
        unsigned descriptor;
        std::uint64_t file;
    };
    std::vector<OpenFile> open_files(const Instance& task);
    // The nodes of the list through `node`, without it; empty if a step does not lead back.
    std::vector<std::uint64_t> nodes_of_list(std::uint64_t node);

private:
    using Built = std::vector<Instance>;

    Instance read(std::uint64_t address, const DeepStructure& structure, const Instance* owner);
    Built build(const DeepStructure& structure);
    Built build_tasks(const DeepStructure& structure);
    Built build_modules(const DeepStructure& structure);
    Built build_linked(const DeepStructure& structure);
    Built build_pointed(const DeepStructure& structure);
    Built build_areas(const DeepStructure& structure);
    Built build_files(const DeepStructure& structure);
    Built build_dentries(const DeepStructure& structure);
    Built build_sockets(const DeepStructure& structure);
    Built build_mounts(const DeepStructure& structure);
    Built build_trees(const DeepStructure& structure, bool nodes);
    AddressSpace* user_space(const Instance& mm);
    bool has_room(const Built& built, std::size_t most, const char* what);
    const DeepStructure* structure_named(const std::string& name) const;

    AddressSpace& memory_;
    AddressSpace clean_; // with no page remembered: what others are made from
    Anchors anchors_;
    std::chrono::steady_clock::time_point deadline_;
    std::function<void()> breathe_;
    LookLimits limits_;
    static constexpr unsigned steps_between = 1024;
    unsigned steps_ = 0;
    std::set<std::string> left_out_;
    std::chrono::steady_clock::time_point breathed_ = std::chrono::steady_clock::now();
    KnownOffsets known_;
    const DeepStructures* structures_ = nullptr;
    std::map<std::string, Built> built_;
    std::map<std::string, std::uint64_t, std::less<>> nearest_; // by structure
    std::unordered_map<std::uint64_t, const Instance*> task_at_;
    std::unordered_map<std::uint64_t, bool> kernel_threads_; // by task
    std::map<std::pair<std::uint64_t, std::size_t>, Bytes> blocks_;
    std::size_t kept_ = 0; // bytes that those take, and what else has been counted
    std::unordered_map<std::uint64_t, bool> mapped_; // by page
    std::map<std::uint64_t, AddressSpace> users_;    // by page-table root, a few: each remembers its pages
};

} // namespace lacuna
