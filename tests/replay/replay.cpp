// SPDX-License-Identifier: GPL-2.0-or-later
#include "replay.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <lzma.h>
#include <unordered_map>
#include <unordered_set>

#include <lacuna/recording.h>

#include "abi_names.h"
#include "bytes.h"
#include "constraint_set.h"
#include "error.h"
#include "payload.h"

namespace lacuna::test {
std::vector<std::uint8_t> read_recording(const std::filesystem::path& file)
{
    const auto packed = read_file(file);
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_stream_decoder(&stream, UINT64_MAX, 0) != LZMA_OK)
        throw Error("cannot start the xz decoder", file.string());
    const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> end(&stream, lzma_end);
    std::vector<std::uint8_t> out, chunk(1 << 20);
    stream.next_in = reinterpret_cast<const std::uint8_t*>(packed.data());
    stream.avail_in = packed.size();
    lzma_ret result = LZMA_OK;
    while (result == LZMA_OK) {
        stream.next_out = chunk.data();
        stream.avail_out = chunk.size();
        result = lzma_code(&stream, LZMA_FINISH);
        out.insert(out.end(), chunk.begin(), chunk.end() - static_cast<std::ptrdiff_t>(stream.avail_out));
    }
    if (result != LZMA_STREAM_END)
        throw Error("is not xz, or is damaged", file.string());
    return out;
}

EngineHunter::EngineHunter(const lacuna_constraints& set) : set_(set), engine_(lac_engine_create(&set_), lac_engine_destroy) {}

void EngineHunter::start(const lac_facts& facts)
{
    lac_engine_start(engine_.get(), &facts);
}

void EngineHunter::event(const lac_event& event, const lac_memory& memory)
{
    if (event.on == LACUNA_ON_LOOK)
        lac_engine_event(engine_.get(), &event, &memory);
    else
        trap(event, memory);
}

void EngineHunter::trap(const lac_event& event, const lac_memory& memory)
{
    lac_engine_event(engine_.get(), &event, &memory);
    asm volatile(""); // a call, and no jump, which valgrind would not see the end of
}

void EngineHunter::forget(std::uint64_t task)
{
    lac_engine_forget(engine_.get(), task);
}

Reports EngineHunter::reports() const
{
    Reports all;
    for (std::uint32_t i = 0; i < set_.members_nr; i++)
        lac_engine_report(engine_.get(), i, &all[qualified_name(set_, i)]);
    return all;
}

namespace {

class Player {
public:
    Player(const std::vector<std::uint8_t>& recording, const std::string& name, Hunter& hunter)
        : recording_(recording), name_(name), hunter_(hunter)
    {
    }

    Replay play()
    {
        while (at_ < recording_.size())
            step();
        finish_event();
        result_.reports = hunter_.reports();
        return result_;
    }

private:
    // What the event has taught, by what is reported.
    void account(const Reports& before)
    {
        bool taught = false;
        for (const auto& [member, now] : hunter_.reports()) {
            const lacuna_member_report& then = before.at(member);
            taught |= now.eliminated != then.eliminated || now.state != then.state ||
                (then.state != LACUNA_RESOLVED && now.witnesses != then.witnesses);
            if (now.state == LACUNA_RESOLVED && then.state != LACUNA_RESOLVED)
                result_.settled.try_emplace(member, result_.events);
        }
        result_.wasted += !taught;
        result_.reads += reads_;
        result_.most_reads = std::max(result_.most_reads, reads_);
    }

    using Page = std::array<std::uint8_t, LAC_RECORD_PAGE_SIZE>;

    struct KeptPage {
        lac_record_page record;
        Page page;
    };

    template <typename T> T take()
    {
        if (recording_.size() - at_ < sizeof(T))
            throw Error("ends in the middle of a record", name_);
        T value;
        std::memcpy(&value, recording_.data() + at_, sizeof(T));
        at_ += sizeof(T);
        return value;
    }

    void step()
    {
        const auto head = take<lac_record_head>();
        // An event is played when all its pages are there.
        if (head.kind != LAC_RECORD_PAGE)
            finish_event();
        switch (head.kind) {
        case LAC_RECORD_START:
            start(take<lac_record_start>());
            break;
        case LAC_RECORD_EVENT:
            turn_pages(UINT64_MAX); // read to find the event's subject
            event_ = take<lac_record_event>();
            pending_ = true;
            break;
        case LAC_RECORD_FORGET:
            hunter_.forget(take<std::uint64_t>());
            break;
        case LAC_RECORD_PAGE: {
            const auto page = take<lac_record_page>();
            coming_.push_back({page, take<Page>()});
            break;
        }
        default:
            throw Error("holds a record of unknown kind " + std::to_string(head.kind), name_);
        }
    }

    void start(const lac_record_start& start)
    {
        if (start.magic != LAC_RECORDING_MAGIC)
            throw Error("is not a recording, or one of another version", name_);
        const lac_facts facts{
            .init_task = start.init_task, .modules = start.modules, .text = start.text, .end = start.end};
        hunter_.start(facts);
    }

    void finish_event()
    {
        if (!pending_)
            return;
        pending_ = false;
        result_.events++;
        const lac_event event{.on = static_cast<u8>(event_.on), .paging = static_cast<u8>(event_.paging), .subject = event_.subject,
            .cr3 = event_.cr3};
        const lac_memory memory{.read = event.on == LACUNA_ON_LOOK ? look : read, .context = this};
        reads_ = 0;
        turned_.clear();
        const Reports before = hunter_.reports();
        hunter_.event(event, memory);
        account(before);
        turn_pages(UINT64_MAX);
    }

    // Two of the same, for valgrind: what they take is not the engine's (scripts/bench).
    [[gnu::noinline]] static int read(void* context, u64 gpa, void* buffer, u32 len) { return copy(context, gpa, buffer, len); }
    [[gnu::noinline]] static int look(void* context, u64 gpa, void* buffer, u32 len) { return copy(context, gpa, buffer, len); }

    [[gnu::always_inline]] static inline int copy(void* context, u64 gpa, void* buffer, u32 len)
    {
        auto& self = *static_cast<Player*>(context);
        self.turn_pages(++self.reads_);
        self.result_.bytes += len;
        const Page* page = self.find(gpa & ~std::uint64_t{LAC_RECORD_PAGE_SIZE - 1});
        if (!page)
            return -EFAULT;
        std::memcpy(buffer, page->data() + gpa % LAC_RECORD_PAGE_SIZE, len);
        return 0;
    }

    // Memory becomes what the event's reads up to this one saw.
    void turn_pages(std::uint64_t read)
    {
        for (; !coming_.empty() && coming_.front().record.read <= read; coming_.pop_front())
            turn(coming_.front());
    }

    void turn(const KeptPage& kept)
    {
        pages_[kept.record.gpa] = kept.page;
        turned_.insert(kept.record.gpa);
    }

    // An engine that reads less, or in another order, than the one recorded with wants a page sooner than that did: what is kept
    // of it from this event is nearer to the truth than what an event before has left.
    const Page* find(std::uint64_t gpa)
    {
        if (turned_.insert(gpa).second)
            for (const KeptPage& kept : coming_)
                if (kept.record.gpa == gpa) {
                    turn(kept);
                    break;
                }
        const auto page = pages_.find(gpa);
        return page == pages_.end() ? nullptr : &page->second;
    }

    const std::vector<std::uint8_t>& recording_;
    const std::string& name_;
    Hunter& hunter_;
    std::unordered_map<std::uint64_t, Page> pages_;
    std::deque<KeptPage> coming_; // of the event being played, in the order of its reads
    std::unordered_set<std::uint64_t> turned_; // pages that are as this event saw them
    std::uint64_t reads_ = 0;
    std::size_t at_ = 0;
    lac_record_event event_{};
    bool pending_ = false;
    Replay result_;
};

} // namespace

Replay replay(const std::vector<std::uint8_t>& recording, const std::string& name, Hunter& hunter)
{
    return Player(recording, name, hunter).play();
}

Replay replay(const std::filesystem::path& recording, const std::filesystem::path& constraints)
{
    EngineHunter hunter(load_constraints(constraints));
    return replay(read_recording(recording), recording.string(), hunter);
}

} // namespace lacuna::test
