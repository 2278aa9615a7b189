// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>
#include <random>

#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <spdlog/fmt/fmt.h>

#include "expect_error.h"
#include "fake_module.h"
#include "netlink_codec.h"

using namespace lacuna;

namespace {

constexpr int family = 33;

std::map<int, nlattr*> attributes_of(nlattr* first, int length)
{
    std::map<int, nlattr*> found;
    int rest = length;
    for (nlattr* a = first; nla_ok(a, rest); a = nla_next(a, &rest))
        found[nla_type(a)] = a;
    EXPECT_EQ(rest, 0);
    return found;
}

std::map<int, nlattr*> attributes_of(nl_msg* message)
{
    const auto* header = static_cast<genlmsghdr*>(nlmsg_data(nlmsg_hdr(message)));
    return attributes_of(genlmsg_attrdata(header, 0), genlmsg_attrlen(header, 0));
}

std::map<int, nlattr*> nested(nlattr* attribute)
{
    EXPECT_TRUE(attribute->nla_type & NLA_F_NESTED); // strict parsing in the kernel wants it
    return attributes_of(static_cast<nlattr*>(nla_data(attribute)), nla_len(attribute));
}

Message event()
{
    Message message = new_request(family, LACUNA_CMD_EVENT);
    nla_put_u32(message.get(), LACUNA_A_GUEST, 7);
    return message;
}

GuestReport parse(const Message& message)
{
    return parse_report(nlmsg_hdr(message.get()));
}

} // namespace

TEST(NetlinkCodec, ArmCarriesTheDescriptor)
{
    KernelDescriptor kernel = fake_kernel("6.1-abc");
    const Message message = new_request(family, LACUNA_CMD_ARM);
    put_arm(message.get(), 7, {kernel, fake_kernel("other")}, {5000, true, {}});
    auto top = attributes_of(message.get());
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_VERSION)), static_cast<unsigned>(LACUNA_ABI_VERSION));
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_GUEST)), 7u);
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_DEADLINE_MS)), 5000u);
    EXPECT_TRUE(top.contains(LACUNA_A_RECORD));

    nlattr* first = nlmsg_find_attr(nlmsg_hdr(message.get()), GENL_HDRLEN, LACUNA_A_KERNEL);
    auto k = nested(first);
    EXPECT_STREQ(nla_get_string(k.at(LACUNA_K_ID)), "6.1-abc");
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_TEXT)), kernel.text);
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_END)), kernel.end);
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_BANNER)), kernel.banner_address);
    EXPECT_EQ(std::string(static_cast<char*>(nla_data(k.at(LACUNA_K_BANNER_TEXT))),
                          static_cast<std::size_t>(nla_len(k.at(LACUNA_K_BANNER_TEXT)))),
              kernel.banner);
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_INIT_TASK)), kernel.init_task);
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_MODULES)), kernel.modules);
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_CURRENT)), kernel.current_task);
    EXPECT_EQ(nla_get_u8(k.at(LACUNA_K_CURRENT_KIND)), LACUNA_CURRENT_PER_CPU);
    EXPECT_FALSE(k.contains(LACUNA_K_CURRENT_SLIDES));
    auto site = nested(k.at(LACUNA_K_SITE)); // the last of the three
    EXPECT_EQ(nla_get_u8(site.at(LACUNA_S_KIND)), LACUNA_SITE_INITCALL);
    EXPECT_EQ(nla_get_u64(site.at(LACUNA_S_ADDRESS)), kernel.sites[2].address);
    EXPECT_EQ(nla_len(site.at(LACUNA_S_BYTES)), 4);
    EXPECT_EQ(std::memcmp(nla_data(site.at(LACUNA_S_LENGTHS)), "\2\2", 2), 0);
}

TEST(NetlinkCodec, CurrentTaskThatIsAnAddressSlides)
{
    KernelDescriptor kernel = fake_kernel("6.17");
    kernel.current_kind = CurrentKind::percpu_address;
    const Message message = new_request(family, LACUNA_CMD_ARM);
    put_arm(message.get(), 7, {kernel}, {});
    EXPECT_TRUE(nested(attributes_of(message.get()).at(LACUNA_A_KERNEL)).contains(LACUNA_K_CURRENT_SLIDES));
}

TEST(NetlinkCodec, KnownKernelsAreMarked)
{
    const Message message = new_request(family, LACUNA_CMD_ARM);
    put_arm(message.get(), 7, {fake_kernel("6.1-abc")}, {.known = {"6.1-abc"}});
    EXPECT_TRUE(nested(attributes_of(message.get()).at(LACUNA_A_KERNEL)).contains(LACUNA_K_KNOWN));
    const Message other = new_request(family, LACUNA_CMD_ARM);
    put_arm(other.get(), 7, {fake_kernel("6.1-abc")}, {.known = {"6.1-xyz"}});
    EXPECT_FALSE(nested(attributes_of(other.get()).at(LACUNA_A_KERNEL)).contains(LACUNA_K_KNOWN));
}

TEST(NetlinkCodec, HowAnI386KernelKeepsItsCurrentTask)
{
    KernelDescriptor kernel = fake_kernel("3.2-686");
    kernel.architecture = Architecture::i386;
    kernel.current_kind = CurrentKind::stack;
    kernel.current_task = 8192;
    const Message message = new_request(family, LACUNA_CMD_ARM);
    put_arm(message.get(), 7, {kernel}, {});
    auto k = nested(attributes_of(message.get()).at(LACUNA_A_KERNEL));
    EXPECT_EQ(nla_get_u8(k.at(LACUNA_K_ARCHITECTURE)), LACUNA_I386);
    EXPECT_EQ(nla_get_u8(k.at(LACUNA_K_CURRENT_KIND)), LACUNA_CURRENT_STACK);
    EXPECT_EQ(nla_get_u64(k.at(LACUNA_K_CURRENT)), 8192u);
    EXPECT_FALSE(k.contains(LACUNA_K_CURRENT_SLIDES));
}

TEST(NetlinkCodec, AKernelForOneCpuHasItsCurrentTaskInItsImage)
{
    KernelDescriptor kernel = fake_kernel("up");
    kernel.current_kind = CurrentKind::global;
    const Message message = new_request(family, LACUNA_CMD_ARM);
    put_arm(message.get(), 7, {kernel}, {});
    auto k = nested(attributes_of(message.get()).at(LACUNA_A_KERNEL));
    EXPECT_EQ(nla_get_u8(k.at(LACUNA_K_ARCHITECTURE)), LACUNA_X86_64);
    EXPECT_EQ(nla_get_u8(k.at(LACUNA_K_CURRENT_KIND)), LACUNA_CURRENT_GLOBAL);
    EXPECT_TRUE(k.contains(LACUNA_K_CURRENT_SLIDES));
}

TEST(NetlinkCodec, EightKernelsFitAndNineDoNot)
{
    KernelDescriptor kernel = fake_kernel(std::string(LACUNA_MAX_ID - 1, 'k'));
    kernel.banner = std::string(LACUNA_MAX_BANNER, 'b');
    const Message message = new_request(family, LACUNA_CMD_ARM);
    put_arm(message.get(), 7, std::vector<KernelDescriptor>(8, kernel), {});
    const Message other = new_request(family, LACUNA_CMD_ARM);
    EXPECT_ERROR(put_arm(other.get(), 7, std::vector<KernelDescriptor>(9, kernel), {}),
                 "9 kernels cannot be given");
    EXPECT_ERROR(put_arm(other.get(), 7, {}, {}), "0 kernels cannot be given");
    kernel.id += 'k';
    EXPECT_ERROR(put_arm(other.get(), 7, {kernel}, {}), "too long for the module");
}

TEST(NetlinkCodec, ReportsInFull)
{
    const lacuna_member_report members[] = {resolved_at(1234), open_with({4, 8})};
    lacuna_stats stats{};
    stats.traps[LACUNA_SITE_EXIT] = 41;
    const Message message = event();
    nl_msg* m = message.get();
    nla_put_u8(m, LACUNA_A_EVENT, LACUNA_EVENT_PROGRESS);
    nla_put_u8(m, LACUNA_A_STATE, LACUNA_GUEST_TRAPPING);
    nla_put_u32(m, LACUNA_A_VMM_PID, 4711);
    nla_put_string(m, LACUNA_A_KERNEL_ID, "6.1-abc");
    nla_put_u64(m, LACUNA_A_SLIDE, 0x27c00000);
    nla_put_u64(m, LACUNA_A_TEXT_GPA, 0x1'2340'0000);
    nla_put_u8(m, LACUNA_A_PAGING, LACUNA_PAGING_PAE);
    nla_put_u64(m, LACUNA_A_ROOT, 0x1a7'0020);
    nla_put_u32(m, LACUNA_A_ENGINE, 7);
    nla_put(m, LACUNA_A_MEMBERS, sizeof(members), members);
    nla_put(m, LACUNA_A_STATS, sizeof(stats), &stats);
    const GuestReport report = parse(message);
    EXPECT_EQ(report.guest, 7u);
    EXPECT_EQ(report.event, LACUNA_EVENT_PROGRESS);
    EXPECT_EQ(report.state, LACUNA_GUEST_TRAPPING);
    EXPECT_EQ(report.vmm_pid, 4711u);
    EXPECT_EQ(report.kernel_id, "6.1-abc");
    EXPECT_EQ(report.slide, 0x27c00000u);
    EXPECT_EQ(report.text_gpa, 0x1'2340'0000u);
    EXPECT_EQ(report.paging, LACUNA_PAGING_PAE);
    EXPECT_EQ(report.root, 0x1a7'0020u);
    EXPECT_EQ(report.engine, 7u);
    EXPECT_EQ(report.reason, std::nullopt);
    ASSERT_EQ(report.members->size(), 2u);
    EXPECT_EQ((*report.members)[0].candidates[0], 1234);
    EXPECT_EQ((*report.members)[1].remaining, 2u);
    EXPECT_EQ(report.stats->traps[LACUNA_SITE_EXIT], 41u);
}

TEST(NetlinkCodec, MalformedReportsAreRefused)
{
    const auto with = [](int attribute, const void* data, int size) {
        Message message = event();
        nla_put(message.get(), attribute, size, data);
        return message;
    };
    const char bytes[400] = {};
    EXPECT_ERROR(parse(with(LACUNA_A_STATE, "\x63", 1)), "a guest cannot be in state 99");
    EXPECT_ERROR(parse(with(LACUNA_A_SLIDE, bytes, 4)), "malformed");
    EXPECT_ERROR(parse(with(LACUNA_A_MEMBERS, bytes, sizeof(lacuna_member_report) + 1)), "malformed");
    EXPECT_ERROR(parse(with(LACUNA_A_STATS, bytes, sizeof(lacuna_stats) - 8)), "malformed");
    EXPECT_ERROR(parse(with(LACUNA_A_VERSION, "\x01\0\0\0", 4)),
                 fmt::format("it is not of ABI version {}", LACUNA_ABI_VERSION));
    EXPECT_ERROR(parse(with(LACUNA_A_PAGING, "\x04", 1)), "there is no way of paging with the number 4");
    EXPECT_ERROR(parse(new_request(family, LACUNA_CMD_EVENT)), "it names no guest");
    Message bare(nlmsg_alloc(), nlmsg_free);
    genlmsg_put(bare.get(), 0, 0, family, 0, 0, LACUNA_CMD_EVENT, 1);
    EXPECT_ERROR(parse(bare), fmt::format("it is not of ABI version {}", LACUNA_ABI_VERSION));
    // A text without its NUL ends with the attribute.
    EXPECT_EQ(parse(with(LACUNA_A_REASON, "abc", 3)).reason, "abc");
}

TEST(NetlinkCodec, ReadingSaysWhereAndHowMuch)
{
    const Message message = new_request(family, LACUNA_CMD_READ);
    put_read(message.get(), 7, 0x1'2345'6000, 4096);
    auto top = attributes_of(message.get());
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_GUEST)), 7u);
    EXPECT_EQ(nla_get_u64(top.at(LACUNA_A_ADDRESS)), 0x1'2345'6000u);
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_LENGTH)), 4096u);
    EXPECT_EQ(parse_data(nlmsg_hdr(message.get())), Bytes());
    const Bytes bytes = {1, 2, 3};
    nla_put(message.get(), LACUNA_A_DATA, 3, bytes.data());
    EXPECT_EQ(parse_data(nlmsg_hdr(message.get())), bytes);
}

TEST(NetlinkCodec, AdoptingNamesTheProcessAndItsFile)
{
    const Message message = new_request(family, LACUNA_CMD_ADOPT);
    put_adopt(message.get(), 4711, Fd());
    auto top = attributes_of(message.get());
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_VMM_PID)), 4711u);
    EXPECT_EQ(nla_get_u32(top.at(LACUNA_A_FD)), ~0u);
}

// Whatever bytes come: an Error or a report, nothing else (the sanitizers watch).
TEST(NetlinkCodec, RandomMessages)
{
    std::minstd_rand random(1);
    unsigned refused = 0;
    for (int i = 0; i < 20000; i++) {
        const Message message = event();
        for (auto n = random() % 4; n > 0; n--) {
            const std::uint8_t byte = static_cast<std::uint8_t>(random() % 16);
            const std::vector<std::uint8_t> bytes(1 + random() % 9, byte);
            nla_put(message.get(), static_cast<int>(random() % (LACUNA_ATTRIBUTES + 2)),
                    static_cast<int>(bytes.size()), bytes.data());
        }
        const auto rubbish = static_cast<std::uint32_t>(random());
        if (random() % 4 == 0) // behind them something that is no attribute
            std::memcpy(nlmsg_reserve(message.get(), sizeof(rubbish), 0), &rubbish, sizeof(rubbish));
        try {
            parse(message);
        } catch (const Error&) {
            refused++;
        }
    }
    EXPECT_GT(refused, 1000u);
    EXPECT_LT(refused, 20000u);
}
