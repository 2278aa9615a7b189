// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstring>
#include <string>
#include <type_traits>
#include <vector>

#include "bytes.h"

namespace lacuna::fuzz {

struct Seed {
    std::string name; // of a file
    Bytes bytes;
};

// One part of Lacuna that is given what others have written. Whatever that is: the answer is a result or an Error.
struct Harness {
    const char* name;
    void (*run)(ByteView input);
    std::vector<Seed> (*seeds)(); // that get past the first look
    std::size_t longest; // of an input
};

const std::vector<Harness>& harnesses();
// Throws Error if there is none of this name.
const Harness& harness(const std::string& name);

// An input as the numbers that a harness makes its choices by; zeros when it is used up.
class Choices {
public:
    explicit Choices(ByteView input) : left_(input) {}

    bool empty() const { return left_.empty(); }
    template <typename T> T take()
    {
        static_assert(std::is_trivially_copyable_v<T>);
        T value{};
        const std::size_t size = std::min(sizeof(T), left_.size());
        std::memcpy(&value, left_.data(), size);
        left_ = left_.subspan(size);
        return value;
    }
    std::size_t below(std::size_t bound) { return bound ? take<std::uint16_t>() % bound : 0; }

private:
    ByteView left_;
};

inline Seed seed(std::string name, std::string_view text)
{
    return {std::move(name), Bytes(text.begin(), text.end())};
}

// The harnesses, each in a file of its own.
extern const Harness engine, recording, kernel, system_map, reader_answer, daemon_netlink, module_netlink, control, constraints,
    deep_constraints, command_line;

} // namespace lacuna::fuzz
