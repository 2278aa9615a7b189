// SPDX-License-Identifier: GPL-2.0-or-later
//
// fuzz_round --list                      names the harnesses, and how long an input of each may be
// fuzz_round HARNESS RUNS                runs it on its seeds, and on so many changes of them, the same each time
// fuzz_round HARNESS --seeds DIRECTORY   writes its seeds, for libFuzzer to start from
// fuzz_round HARNESS FILE...             runs it on files, such as what libFuzzer has found
//
// Needs no clang, and no coverage: what the default tests can afford.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <random>

#include <sys/resource.h>

#include "error.h"
#include "harness.h"
#include "payload.h"

namespace {

using namespace lacuna;
using namespace lacuna::fuzz;

constexpr unsigned longest_input_seconds = 60; // of processor time, on a slow and busy machine with sanitizers

// Bits, bytes, numbers at the edge, pieces of itself and of another.
class Changer {
public:
    explicit Changer(std::vector<Seed> seeds) : seeds_(std::move(seeds)) {}

    Bytes next(std::size_t longest)
    {
        Bytes bytes = any().bytes;
        for (std::size_t changes = 1 + below(8); changes > 0; changes--)
            change(bytes);
        bytes.resize(std::min(bytes.size(), longest));
        return bytes;
    }

private:
    std::size_t below(std::size_t bound) { return bound ? random_() % bound : 0; }
    const Seed& any() { return seeds_[below(seeds_.size())]; }

    void change(Bytes& bytes)
    {
        constexpr std::uint64_t edges[] = {0, 1, 7, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                           0x7fffffffffffffff, 0x8000000000000000, 0xffffffffffffffff};
        const std::size_t at = below(bytes.size() + 1), left = bytes.size() - at;
        switch (below(6)) {
        case 0:
            if (left)
                bytes[at] ^= static_cast<std::uint8_t>(1u << below(8));
            break;
        case 1:
            if (left)
                bytes[at] = static_cast<std::uint8_t>(random_());
            break;
        case 2: {
            const std::uint64_t edge = edges[below(std::size(edges))];
            std::memcpy(bytes.data() + at, &edge, std::min<std::size_t>(left, std::size_t{1} << below(4)));
            break;
        }
        case 3:
            bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                        bytes.begin() + static_cast<std::ptrdiff_t>(at + below(std::min<std::size_t>(left, 64) + 1)));
            break;
        case 4:
            insert(bytes, at, bytes);
            break;
        case 5:
            insert(bytes, at, any().bytes);
            break;
        }
    }

    void insert(Bytes& bytes, std::size_t at, const Bytes& from)
    {
        const std::size_t start = below(from.size() + 1), size = below(std::min<std::size_t>(from.size() - start, 64) + 1);
        const Bytes piece(from.begin() + static_cast<std::ptrdiff_t>(start), from.begin() + static_cast<std::ptrdiff_t>(start + size));
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), piece.begin(), piece.end());
    }

    std::vector<Seed> seeds_;
    std::mt19937 random_{1};
};

void write(const std::filesystem::path& path, const Bytes& bytes)
{
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    if (!file.flush())
        throw Error("cannot be written", path.string());
}

// What is run when it crashes is the last one written, if there is a place to write it to.
void run(const Harness& harness, const Bytes& input)
{
    if (const char* last = std::getenv("LACUNA_FUZZ_LAST"))
        write(last, input);
    // exactly so many bytes on the heap, so that reading behind them is seen
    const std::unique_ptr<std::uint8_t[]> bytes(new std::uint8_t[input.size()]);
    std::copy(input.begin(), input.end(), bytes.get());
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    harness.run({bytes.get(), input.size()});
    getrusage(RUSAGE_SELF, &after);
    if (after.ru_utime.tv_sec - before.ru_utime.tv_sec > longest_input_seconds)
        throw Error("an input took too long", harness.name);
}

int start(const std::vector<std::string>& arguments)
{
    if (arguments == std::vector<std::string>{"--list"}) {
        for (const Harness& one : harnesses())
            std::cout << one.name << ' ' << one.longest << '\n';
        return 0;
    }
    if (arguments.size() < 2) {
        std::cerr << "usage: fuzz_round --list | HARNESS RUNS | HARNESS --seeds DIRECTORY | HARNESS FILE...\n";
        return 2;
    }
    const Harness& chosen = harness(arguments[0]);
    if (arguments[1].find_first_not_of("0123456789") != std::string::npos && arguments[1] != "--seeds") {
        for (std::size_t i = 1; i < arguments.size(); i++)
            run(chosen, read_file(arguments[i]));
        return 0;
    }
    std::vector<Seed> seeds = chosen.seeds();
    if (seeds.empty())
        throw Error("has no seeds", chosen.name);
    if (arguments[1] == "--seeds") {
        const std::filesystem::path folder = arguments.at(2);
        std::filesystem::create_directories(folder);
        for (const Seed& one : seeds)
            write(folder / one.name, one.bytes);
        return 0;
    }
    for (const Seed& one : seeds)
        run(chosen, one.bytes);
    Changer changer(std::move(seeds));
    for (unsigned long runs = std::stoul(arguments[1]); runs > 0; runs--)
        run(chosen, changer.next(chosen.longest));
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    try {
        return start({argv + 1, argv + argc});
    } catch (const std::exception& error) {
        std::cerr << "fuzz_round: " << error.what() << '\n';
        return 1;
    }
}
