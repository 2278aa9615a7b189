// SPDX-License-Identifier: GPL-2.0-or-later
// The engine on recorded boots of real kernels, pages of which say something else.
#include <algorithm>

#include <lacuna/recording.h>

#include "engine_bounds.h"
#include "error.h"
#include "harness.h"
#include "replay.h"

namespace lacuna::fuzz {

namespace {

constexpr std::size_t events = 80; // of a recording: the first, in which most is learned
constexpr std::size_t most_changes = 24;

struct Recording {
    Bytes bytes;
    std::vector<std::size_t> pages; // where their contents start
    std::vector<std::uint64_t> words; // that stand in them and look like pointers: what a change may put elsewhere
};

// The size of what comes behind the head of a record.
std::size_t size_of(std::uint32_t kind)
{
    switch (kind) {
    case LAC_RECORD_START:
        return sizeof(lac_record_start);
    case LAC_RECORD_EVENT:
        return sizeof(lac_record_event);
    case LAC_RECORD_FORGET:
        return sizeof(std::uint64_t);
    default:
        return sizeof(lac_record_page) + LAC_RECORD_PAGE_SIZE;
    }
}

Recording beginning_of(const char* name)
{
    const Bytes whole = test::read_recording(std::string(LACUNA_RECORDINGS "/") + name + ".xz");
    Recording recording;
    std::size_t at = 0, seen = 0;
    while (at + sizeof(lac_record_head) <= whole.size()) {
        const auto head = *load<lac_record_head>(whole, at);
        if (head.kind == LAC_RECORD_EVENT && ++seen > events)
            break;
        const std::size_t end = at + sizeof(head) + size_of(head.kind);
        if (head.kind == LAC_RECORD_PAGE)
            recording.pages.push_back(end - LAC_RECORD_PAGE_SIZE);
        at = end;
    }
    recording.bytes.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(std::min(at, whole.size())));
    for (const std::size_t page : recording.pages)
        for (std::size_t word = 0; word < LAC_RECORD_PAGE_SIZE && recording.words.size() < 4096; word += 8) {
            const auto value = *load<std::uint64_t>(recording.bytes, page + word);
            if (value >> 47 == 0x1ffff && word % 64 == 0)
                recording.words.push_back(value);
        }
    return recording;
}

const std::vector<Recording>& recordings()
{
    static const std::vector<Recording> all = {beginning_of("6.1.0-56-amd64"), beginning_of("5.10.0-32-686"),
                                               beginning_of("7.3.4+deb13-amd64")};
    return all;
}

class BoundedHunter : public test::Hunter {
public:
    void start(const lac_facts& facts) override { engine_.start(facts); }
    void event(const lac_event& event, const lac_memory& memory) override { engine_.event(event, memory); }
    void forget(std::uint64_t task) override { engine_.forget(task); }
    test::Reports reports() const override { return {}; } // BoundedEngine looks at them

private:
    BoundedEngine engine_{constraints_of_the_product()};
};

void run(ByteView input)
{
    Choices choices(input);
    const Recording& recording = recordings()[choices.take<std::uint8_t>() % recordings().size()];
    Bytes bytes = recording.bytes;
    for (std::size_t changes = 0; changes < most_changes && !choices.empty(); changes++) {
        const std::uint8_t how = choices.take<std::uint8_t>();
        const std::size_t at = recording.pages[choices.below(recording.pages.size())] + choices.below(LAC_RECORD_PAGE_SIZE - 7);
        const std::uint64_t value = how & 1 && !recording.words.empty() ? recording.words[choices.below(recording.words.size())] + (how >> 4) * 8
                                                                        : choices.take<std::uint64_t>();
        std::memcpy(bytes.data() + (how & 1 ? at & ~std::size_t{7} : at), &value, std::size_t{1} << (how & 1 ? 3 : how >> 1 & 3));
    }
    BoundedHunter hunter;
    try {
        test::replay(bytes, "fuzz", hunter);
    } catch (const Error&) {
    }
}

std::vector<Seed> seeds()
{
    std::vector<Seed> all;
    for (std::uint8_t which = 0; which < 3; which++) {
        all.push_back({"as-it-was-" + std::to_string(which), {which}});
        Seed changed{"changed-" + std::to_string(which), {which}};
        for (std::uint8_t i = 0; i < 8; i++)
            for (const std::uint8_t byte : Bytes{i, static_cast<std::uint8_t>(i * 29), 0, 8, i, 1, 2, 3, 4, 5, 6, 7, 8})
                changed.bytes.push_back(byte);
        all.push_back(changed);
    }
    return all;
}

} // namespace

const Harness recording = {"recording", run, seeds, 256};

} // namespace lacuna::fuzz
