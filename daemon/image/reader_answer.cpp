// SPDX-License-Identifier: GPL-2.0-or-later
#include "reader_answer.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <iterator>
#include <memory>
#include <numeric>
#include <set>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "names.h"
#include "site_finder.h"
#include "symbols.h"

namespace lacuna {

namespace {

using Json = nlohmann::json;

constexpr std::size_t longest_text = 1024;
constexpr std::size_t most_notices = 64;
constexpr std::size_t longest_line = std::size_t{64} << 10; // of JSON

// Why an answer is none; never seen outside.
struct Wrong {
    std::string why;
};

void need(bool good, const std::string& what)
{
    if (!good)
        throw Wrong{what};
}

std::string text_of(const Json& json, const char* field)
{
    const std::string text = json.at(field).get<std::string>();
    need(text.size() <= longest_text, std::string(field) + " is too long");
    return printable(text);
}

std::uint64_t number(std::string_view digits, const char* what)
{
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    need(parsed.ec == std::errc{} && parsed.ptr == digits.data() + digits.size(),
         std::string(what) + " is no number");
    return value;
}

std::uint64_t address_of(const Json& json, const char* field)
{
    const auto& text = json.at(field).get_ref<const std::string&>();
    need(text.starts_with("0x"), std::string(field) + " is no address");
    return number(std::string_view(text).substr(2), field);
}

std::vector<std::uint8_t> bytes_of(const Json& json, const char* field)
{
    const std::string_view text = json.at(field).get_ref<const std::string&>();
    need(text.size() % 2 == 0 && text.size() <= longest_text, std::string(field) + " are no bytes");
    std::vector<std::uint8_t> bytes;
    for (std::size_t at = 0; at < text.size(); at += 2)
        bytes.push_back(static_cast<std::uint8_t>(number(text.substr(at, 2), field)));
    return bytes;
}

// The value that to_string() has this name for.
template <typename Kind> Kind kind_of(const Json& json, const char* field, std::initializer_list<Kind> kinds)
{
    const auto& text = json.at(field).get_ref<const std::string&>();
    const auto found =
        std::find_if(kinds.begin(), kinds.end(), [&](Kind kind) { return text == to_string(kind); });
    need(found != kinds.end(), std::string(field) + " is unknown");
    return *found;
}

TrapSite site_of(const Json& json)
{
    constexpr std::size_t most_bytes = 16;
    TrapSite site{};
    site.kind = kind_of(json, "kind",
                        {SiteKind::fork, SiteKind::exit, SiteKind::initcall, SiteKind::hibernate, SiteKind::probe});
    site.function = text_of(json, "function");
    site.address = address_of(json, "address");
    site.bytes = bytes_of(json, "bytes");
    for (const Json& length : json.at("lengths")) {
        need(length.is_number_unsigned() && length.get<std::uint64_t>() - 1 < most_bytes,
             "an instruction is too long");
        site.lengths.push_back(length.get<std::uint8_t>());
    }
    site.single = json.at("single").get<bool>();
    const auto displaced = std::accumulate(site.lengths.begin(), site.lengths.end(), std::size_t{0});
    need(site.bytes.size() <= most_bytes && displaced >= trap_size && displaced <= site.bytes.size() &&
             site.single == (site.lengths.size() == 1) && site.address % 8 + trap_size <= 8,
         "a trap site is impossible");
    return site;
}

// Lines "ffffffff81000000 T _text".
std::shared_ptr<const Symbols> symbols_of(std::string_view text, const std::string& source)
{
    constexpr std::size_t digits = 16, name_at = digits + 3;
    std::vector<Symbol> symbols;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        need(end != std::string_view::npos, "the symbols end early");
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(end + 1);
        need(line.size() > name_at && line[digits] == ' ' && line[digits + 2] == ' ' &&
                 std::isprint(static_cast<unsigned char>(line[digits + 1])),
             "a symbol is none");
        const std::string_view name = line.substr(name_at);
        need(name.size() <= longest_text, "a symbol's name is too long");
        symbols.push_back({number(line.substr(0, digits), "a symbol"), line[digits + 1], printable(name)});
    }
    return std::make_shared<const Symbols>(std::move(symbols), source);
}

KernelDescriptor descriptor_of(const Json& json)
{
    KernelDescriptor kernel;
    kernel.id = text_of(json, "id");
    kernel.release = text_of(json, "release");
    const std::string fingerprint = kernel.id.substr(kernel.id.rfind('-') + 1);
    need(fingerprint.size() == 16 && fingerprint.find_first_not_of("0123456789abcdef") == std::string::npos &&
             kernel.id == id_of_kernel(kernel.release, fingerprint),
         "the id is impossible");
    kernel.banner = text_of(json, "banner");
    need(kernel.banner.starts_with("Linux version " + kernel.release), "the banner is none");
    kernel.build_id = hex(bytes_of(json, "build_id"));
    kernel.architecture = kind_of(json, "architecture", {Architecture::x86_64, Architecture::i386});
    kernel.text = address_of(json, "text");
    kernel.end = address_of(json, "end");
    kernel.banner_address = address_of(json, "banner_address");
    kernel.init_task = address_of(json, "init_task");
    kernel.modules = address_of(json, "modules");
    kernel.page_table = address_of(json, "page_table");
    kernel.current_task = address_of(json, "current_task");
    kernel.current_kind = kind_of(
        json, "current_kind",
        {CurrentKind::percpu_offset, CurrentKind::percpu_address, CurrentKind::global, CurrentKind::stack});
    std::set<SiteKind> kinds;
    for (const Json& site : json.at("sites")) {
        kernel.sites.push_back(site_of(site));
        need(kinds.insert(kernel.sites.back().kind).second, "there are two sites of a kind");
    }
    const auto inside = [&](std::uint64_t address) { return address >= kernel.text && address < kernel.end; };
    need(inside(kernel.text) && inside(kernel.banner_address) && inside(kernel.init_task) &&
             (!kernel.modules || inside(kernel.modules)) &&
             std::all_of(kernel.sites.begin(), kernel.sites.end(),
                         [&](const TrapSite& site) { return inside(site.address); }),
         "an address is outside of the kernel");
    kernel.symbol_source = text_of(json, "symbols");
    need(json.at("notices").size() <= most_notices, "there are too many notices");
    for (const Json& notice : json.at("notices"))
        kernel.notices.push_back(printable(notice.get<std::string>()));
    return kernel;
}

std::string text(const Json& json)
{
    return json.dump(-1, ' ', false, Json::error_handler_t::replace); // a path may be no UTF-8
}

} // namespace

std::string answer_of(const KernelDescriptor& descriptor)
{
    std::string answer = text({{"kernel", to_json(descriptor)}}) + "\n";
    for (const Symbol& symbol : descriptor.symbols->all())
        fmt::format_to(std::back_inserter(answer), "{:016x} {} {}\n", symbol.address, symbol.type,
                       printable(symbol.name));
    return answer;
}

std::string answer_of(const Error& error)
{
    return text(
        {{"error", {{"failed", error.failed()}, {"subject", error.subject()}, {"hint", error.hint()}}}});
}

KernelDescriptor understand_answer(std::string_view answer, const std::string& name)
{
    std::string why;
    std::optional<Error> answered;
    try {
        const std::string_view line = answer.substr(0, answer.find('\n'));
        need(line.size() <= longest_line, "it is too long");
        const Json json = Json::parse(line);
        if (json.contains("kernel")) {
            KernelDescriptor kernel = descriptor_of(json.at("kernel"));
            kernel.symbols =
                symbols_of(answer.substr(std::min(answer.size(), line.size() + 1)), kernel.symbol_source);
            return kernel;
        }
        const Json& error = json.at("error");
        answered.emplace(text_of(error, "failed"), text_of(error, "subject"), text_of(error, "hint"));
    } catch (const Wrong& wrong) {
        why = wrong.why;
    } catch (const Json::exception& error) {
        why = printable(error.what());
    }
    if (answered)
        throw *answered;
    throw Error("what its reader answers makes no sense: " + why, name,
                "the file may have been made to attack its reader: do not use it, and please report it");
}

} // namespace lacuna
