// SPDX-License-Identifier: GPL-2.0-or-later
#include "reader_answer.h"

#include <nlohmann/json.hpp>

#include "expect_error.h"
#include "synthetic_kernel.h"

using namespace lacuna;
using Json = nlohmann::json;

namespace {

KernelDescriptor a_kernel()
{
    synthetic::Kernel kernel;
    kernel.absolute_percpu = true;
    return describe_kernel(KernelImage(kernel.vmlinux(), "k"), std::nullopt);
}

Json good_answer()
{
    const std::string answer = answer_of(a_kernel());
    return Json::parse(answer.substr(0, answer.find('\n')));
}

KernelDescriptor understand(const Json& answer)
{
    return understand_answer(answer.dump(), "/boot/vmlinuz");
}

} // namespace

TEST(ReaderAnswer, ComesBackAsItWas)
{
    EXPECT_EQ(Json({{"kernel", to_json(understand(good_answer()))}}), good_answer());
    EXPECT_ERROR(understand_answer(answer_of(Error("is broken", "/k", "mend it")), "k"),
                 "/k: is broken; mend it");
}

TEST(ReaderAnswer, BringsTheSymbols)
{
    const KernelDescriptor before = a_kernel(), after = understand_answer(answer_of(before), "k");
    ASSERT_EQ(after.symbols->all().size(), before.symbols->all().size());
    ASSERT_FALSE(after.symbols->all().empty());
    for (std::size_t i = 0; i < after.symbols->all().size(); i++) {
        const Symbol &a = after.symbols->all()[i], &b = before.symbols->all()[i];
        EXPECT_TRUE(a.address == b.address && a.type == b.type && a.name == b.name) << a.name;
    }
    EXPECT_EQ(after.symbols->source(), before.symbols->source());
    for (const char* line :
         {"1 T x\n", "ffffffff81000000 T x", "ffffffff81000000 T \n", "fffffffg81000000 T x\n", "\n",
          "ffffffff81000000\nT x\n", "ffffffff81000000TT x\n"})
        EXPECT_ERROR(understand_answer(good_answer().dump() + "\n" + line, "k"),
                     "k: what its reader answers makes no sense");
    EXPECT_EQ(understand_answer(good_answer().dump() + "\nffffffff81000000 T \x1b[2J\n", "k")
                  .symbols->all()[0]
                  .name,
              "\\x1b[2J");
}

TEST(ReaderAnswer, IsRefusedIfNoKernelIsSo)
{
    const auto refused = [](const char* field, const Json& value, const std::string& why) {
        SCOPED_TRACE(field);
        Json answer = good_answer();
        answer[Json::json_pointer(field)] = value;
        EXPECT_ERROR(understand(answer), "/boot/vmlinuz: what its reader answers makes no sense: " + why);
    };
    refused("/kernel/id", "../../root/.profile", "the id is impossible");
    refused("/kernel/id", "", "the id is impossible");
    refused("/kernel/id", 7, "");
    refused("/kernel/id", "6.1.0-0-other-0123456789abcdef", "the id is impossible");
    refused("/kernel/init_task", "0xffffffff80000000", "an address is outside of the kernel");
    refused("/kernel/modules", "0x1000", "an address is outside of the kernel");
    refused("/kernel/sites/1/address", "0xffffffffffffff00", "an address is outside of the kernel");
    refused("/kernel/end", "0x0", "an address is outside of the kernel");
    refused("/kernel/banner", "Linux version 5", "the banner is none");
    refused("/kernel/banner", std::string(2000, 'x'), "banner is too long");
    refused("/kernel/architecture", "arm64", "architecture is unknown");
    refused("/kernel/text", "0x1ffffffffffffffff", "text is no number");
    refused("/kernel/text", "12", "text is no address");
    refused("/kernel/sites/0/kind", "exit", "there are two sites of a kind");
    refused("/kernel/sites/0/bytes", std::string(34, '9'), "a trap site is impossible");
    refused("/kernel/sites/0/bytes", "0", "bytes are no bytes");
    refused("/kernel/sites/0/lengths", Json::array({17}), "an instruction is too long");
    refused("/kernel/sites/0/lengths", Json::array({-1}), "an instruction is too long");
    refused("/kernel/sites/0/lengths", Json::array({2}), "a trap site is impossible");
    refused("/kernel/sites/0/lengths", Json::array({1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}), "");
    refused("/kernel/sites/0/address", "0xffffffff81000007", "a trap site is impossible");
    refused("/kernel/notices", Json(std::vector<std::string>(65, "x")), "there are too many notices");
    refused("/kernel", Json::array(), "");
    for (const char* answer : {"", "null", "[]", "{}", "{\"kernel\": null}", "\"", "{\"error\": {}}"})
        EXPECT_ERROR(understand_answer(answer, "k"), "k: what its reader answers makes no sense");
}
