// SPDX-License-Identifier: GPL-2.0-or-later
#include "raw_image.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace lacuna {

namespace {

constexpr std::uint32_t page = 4096;
constexpr std::uint32_t step = 64 * 1024; // of the places they are linked to: CONFIG_PHYSICAL_START is a MiB, mostly
// Kernels are linked above the processes' half, 1 GiB at the lowest.
constexpr std::uint32_t lowest = 0x4000'0000, highest = 0xff00'0000;

bool is_text(std::uint8_t c)
{
    return (c >= 0x20 && c < 0x7f) || c == '\n' || c == '\t';
}

// Where texts begin that are long enough to be none by chance, by the last 12 bits of their place in the image: a
// pointer to one ends in the same bits.
using Texts = std::array<std::vector<std::uint32_t>, page>;

Texts find_texts(ByteView image)
{
    constexpr std::uint32_t shortest = 8;
    constexpr std::size_t most_of_a_kind = 32; // hostile images must not keep us busy
    Texts texts;
    std::uint32_t start = 0;
    for (std::uint32_t at = 0; at < image.size(); ++at) {
        if (is_text(image[at]))
            continue;
        if (image[at] == 0 && at - start >= shortest && start > 0 && image[start - 1] == 0 &&
            texts[start % page].size() < most_of_a_kind)
            texts[start % page].push_back(start);
        start = at + 1;
    }
    return texts;
}

// All values that words of the image have, at whatever place, if they may be pointers to a text; each once.
std::vector<std::uint32_t> find_words(ByteView image, const Texts& texts)
{
    std::vector<std::uint32_t> words;
    for (std::uint64_t at = 0; at + 4 <= image.size(); ++at) {
        const auto word = *load<std::uint32_t>(image, at);
        if (word >= lowest && word < highest && !texts[word % page].empty())
            words.push_back(word);
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    return words;
}

// To how many texts something leads if the image's first byte is at a multiple of `step`, by its number.
std::vector<std::uint32_t> count_votes(ByteView image, const Texts& texts)
{
    std::vector<std::uint32_t> votes((std::uint64_t{1} << 32) / step);
    for (const std::uint32_t word : find_words(image, texts))
        for (const std::uint32_t text : texts[word % page])
            if (word > text && (word - text) % step == 0)
                ++votes[(word - text) / step];
    return votes;
}

bool is_pointed_to(ByteView image, std::uint32_t address)
{
    const std::array<std::uint8_t, 4> word = {
        static_cast<std::uint8_t>(address), static_cast<std::uint8_t>(address >> 8),
        static_cast<std::uint8_t>(address >> 16), static_cast<std::uint8_t>(address >> 24)};
    return std::search(image.begin(), image.end(), word.begin(), word.end()) != image.end();
}

bool holds_banner(ByteView image, std::uint32_t base)
{
    constexpr std::string_view start = "Linux version ";
    for (auto at = image.begin();; ++at) {
        at = std::search(at, image.end(), start.begin(), start.end());
        if (at == image.end())
            return false;
        if (is_pointed_to(image, base + static_cast<std::uint32_t>(at - image.begin())))
            return true;
    }
}

// In 64-bit kernels pointers in data have 32 bits set above those of the address.
bool has_wide_pointers(ByteView image, std::uint32_t base)
{
    constexpr unsigned enough = 64;
    unsigned wide = 0, narrow = 0;
    for (std::uint64_t at = 0; at + 8 <= image.size(); at += 8) {
        const auto low = *load<std::uint32_t>(image, at), high = *load<std::uint32_t>(image, at + 4);
        const auto inside = [&](std::uint32_t word) { return word >= base && word - base < image.size(); };
        wide += inside(low) && high == 0xffff'ffff;
        narrow += inside(low) && inside(high);
    }
    return wide >= enough && wide > narrow;
}

} // namespace

std::optional<RawPlace> place_of_raw_image(ByteView image)
{
    constexpr std::uint32_t fewest_texts = 200, ahead = 2;
    if (image.size() > largest_raw_image)
        return std::nullopt;
    const Texts texts = find_texts(image);
    std::size_t texts_nr = 0;
    for (const auto& kind : texts)
        texts_nr += kind.size();
    const auto votes = count_votes(image, texts);
    const auto best = std::max_element(votes.begin(), votes.end());
    std::uint32_t second = 0;
    for (auto other = votes.begin(); other != votes.end(); ++other)
        if (other != best)
            second = std::max(second, *other);
    const auto base = static_cast<std::uint32_t>(best - votes.begin()) * step;
    if (*best < fewest_texts || *best < texts_nr / 4 * 3 || *best / ahead < second ||
        base < lowest || base >= highest || highest - base < image.size() || !holds_banner(image, base))
        return std::nullopt;
    if (has_wide_pointers(image, base))
        return RawPlace{Architecture::x86_64, 0xffff'ffff'0000'0000 | base};
    return RawPlace{Architecture::i386, base};
}

} // namespace lacuna
