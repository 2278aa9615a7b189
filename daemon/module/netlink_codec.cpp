// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink_codec.h"

#include <algorithm>
#include <cstring>
#include <new>

#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <spdlog/fmt/fmt.h>

namespace lacuna {

namespace {

void put(int result)
{
    if (result < 0)
        throw Error(fmt::format("the message does not fit: {}", nl_geterror(result)), module_name);
}

void put_bytes(nl_msg* message, int attribute, const std::vector<std::uint8_t>& bytes, std::size_t most)
{
    put(nla_put(message, attribute, static_cast<int>(std::min(bytes.size(), most)), bytes.data()));
}

class Nest {
public:
    Nest(nl_msg* message, int attribute)
        : message_(message),
          nest_(nla_nest_start(message, attribute | NLA_F_NESTED))
    {
        if (!nest_)
            throw Error("the message does not fit", module_name);
    }
    void end() { put(nla_nest_end(message_, nest_)); }

private:
    nl_msg* message_;
    nlattr* nest_;
};

static_assert(static_cast<int>(SiteKind::fork) == LACUNA_SITE_FORK &&
              static_cast<int>(SiteKind::exit) == LACUNA_SITE_EXIT &&
              static_cast<int>(SiteKind::initcall) == LACUNA_SITE_INITCALL &&
              static_cast<int>(SiteKind::hibernate) == LACUNA_SITE_HIBERNATE &&
              static_cast<int>(SiteKind::probe) == LACUNA_SITE_PROBE);

void put_site(nl_msg* message, const TrapSite& site)
{
    Nest nest(message, LACUNA_K_SITE);
    put(nla_put_u8(message, LACUNA_S_KIND, static_cast<std::uint8_t>(site.kind)));
    put(nla_put_u64(message, LACUNA_S_ADDRESS, site.address));
    put_bytes(message, LACUNA_S_BYTES, site.bytes, LACUNA_SITE_BYTES);
    put_bytes(message, LACUNA_S_LENGTHS, site.lengths, LACUNA_SITE_BYTES);
    nest.end();
}

lacuna_current current_of(CurrentKind kind)
{
    switch (kind) {
    case CurrentKind::percpu_offset:
    case CurrentKind::percpu_address:
        break;
    case CurrentKind::global:
        return LACUNA_CURRENT_GLOBAL;
    case CurrentKind::stack:
        return LACUNA_CURRENT_STACK;
    }
    return LACUNA_CURRENT_PER_CPU;
}

bool current_slides(CurrentKind kind)
{
    return kind == CurrentKind::percpu_address || kind == CurrentKind::global;
}

static_assert(static_cast<int>(Architecture::x86_64) == LACUNA_X86_64 &&
              static_cast<int>(Architecture::i386) == LACUNA_I386);

void put_kernel(nl_msg* message, const KernelDescriptor& kernel, bool known)
{
    if (kernel.id.size() >= LACUNA_MAX_ID || kernel.banner.size() > LACUNA_MAX_BANNER)
        throw Error("the name or the banner is too long for the module", "kernel " + kernel.id);
    Nest nest(message, LACUNA_A_KERNEL);
    put(nla_put_string(message, LACUNA_K_ID, kernel.id.c_str()));
    put(nla_put_u8(message, LACUNA_K_ARCHITECTURE, static_cast<std::uint8_t>(kernel.architecture)));
    put(nla_put_u64(message, LACUNA_K_TEXT, kernel.text));
    put(nla_put_u64(message, LACUNA_K_END, kernel.end));
    put(nla_put_u64(message, LACUNA_K_BANNER, kernel.banner_address));
    put(nla_put(message, LACUNA_K_BANNER_TEXT, static_cast<int>(kernel.banner.size()), kernel.banner.data()));
    put(nla_put_u64(message, LACUNA_K_INIT_TASK, kernel.init_task));
    put(nla_put_u64(message, LACUNA_K_MODULES, kernel.modules));
    put(nla_put_u64(message, LACUNA_K_CURRENT, kernel.current_task));
    put(nla_put_u8(message, LACUNA_K_CURRENT_KIND, current_of(kernel.current_kind)));
    if (current_slides(kernel.current_kind))
        put(nla_put_flag(message, LACUNA_K_CURRENT_SLIDES));
    if (known)
        put(nla_put_flag(message, LACUNA_K_KNOWN));
    for (const TrapSite& site : kernel.sites)
        put_site(message, site);
    nest.end();
}

struct Attributes {
    nlattr* of[LACUNA_ATTRIBUTES] = {};

    explicit Attributes(nlmsghdr* header)
    {
        if (genlmsg_parse(header, 0, of, LACUNA_ATTRIBUTES - 1, nullptr) < 0)
            malformed("no attributes");
        if (integer<std::uint32_t>(LACUNA_A_VERSION) != LACUNA_ABI_VERSION)
            malformed(fmt::format("it is not of ABI version {}", LACUNA_ABI_VERSION));
    }

    template <typename T> std::optional<T> integer(lacuna_attribute attribute) const
    {
        const auto bytes = data(attribute);
        if (!bytes)
            return std::nullopt;
        if (bytes->size() != sizeof(T))
            malformed(fmt::format("attribute {} has {} bytes", static_cast<int>(attribute), bytes->size()));
        T value;
        std::memcpy(&value, bytes->data(), sizeof(T));
        return value;
    }

    std::optional<ByteView> data(lacuna_attribute attribute) const
    {
        const nlattr* found = of[attribute];
        if (!found)
            return std::nullopt;
        return ByteView(static_cast<const std::uint8_t*>(nla_data(found)),
                        static_cast<std::size_t>(nla_len(found)));
    }

    std::optional<std::string> text(lacuna_attribute attribute) const
    {
        const auto bytes = data(attribute);
        if (!bytes)
            return std::nullopt;
        const auto* first = reinterpret_cast<const char*>(bytes->data());
        return std::string(first, strnlen(first, bytes->size()));
    }

    template <typename T>
    std::optional<std::vector<T>> array(lacuna_attribute attribute, std::size_t most) const
    {
        const auto bytes = data(attribute);
        if (!bytes)
            return std::nullopt;
        if (bytes->size() % sizeof(T) || bytes->size() / sizeof(T) > most)
            malformed(fmt::format("attribute {} has {} bytes", static_cast<int>(attribute), bytes->size()));
        std::vector<T> values(bytes->size() / sizeof(T));
        if (!values.empty())
            std::memcpy(values.data(), bytes->data(), bytes->size());
        return values;
    }
};

} // namespace

void malformed(const std::string& what)
{
    throw Error("sent a malformed message: " + what, module_name,
                "module and daemon are of different versions: install both anew");
}

Message new_request(int family, lacuna_command command, int flags)
{
    Message message(nlmsg_alloc_size(max_message), nlmsg_free);
    if (!message || !genlmsg_put(message.get(), NL_AUTO_PORT, NL_AUTO_SEQ, family, 0, flags,
                                 static_cast<std::uint8_t>(command), LACUNA_ABI_VERSION))
        throw std::bad_alloc();
    put(nla_put_u32(message.get(), LACUNA_A_VERSION, LACUNA_ABI_VERSION));
    return message;
}

void put_guest(nl_msg* message, std::uint32_t guest)
{
    put(nla_put_u32(message, LACUNA_A_GUEST, guest));
}

void put_constraints(nl_msg* message, const lacuna_constraints& constraints)
{
    put(nla_put(message, LACUNA_A_CONSTRAINTS, sizeof(constraints), &constraints));
}

void put_arm(nl_msg* message, std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
             const ArmOptions& options)
{
    if (kernels.empty() || kernels.size() > LACUNA_MAX_KERNELS)
        throw Error(fmt::format("{} kernels cannot be given for one guest", kernels.size()), "",
                    fmt::format("name 1 to {}", LACUNA_MAX_KERNELS));
    put_guest(message, guest);
    put(nla_put_u32(message, LACUNA_A_DEADLINE_MS, options.deadline_ms));
    if (options.record)
        put(nla_put_flag(message, LACUNA_A_RECORD));
    for (const KernelDescriptor& kernel : kernels)
        put_kernel(message, kernel, options.known.contains(kernel.id));
}

void put_adopt(nl_msg* message, pid_t vmm_pid, const Fd& vm)
{
    put(nla_put_u32(message, LACUNA_A_VMM_PID, static_cast<std::uint32_t>(vmm_pid)));
    put(nla_put_u32(message, LACUNA_A_FD, static_cast<std::uint32_t>(vm.get())));
}

void put_read(nl_msg* message, std::uint32_t guest, std::uint64_t address, std::size_t length)
{
    put_guest(message, guest);
    put(nla_put_u64(message, LACUNA_A_ADDRESS, address));
    put(nla_put_u32(message, LACUNA_A_LENGTH, static_cast<std::uint32_t>(length)));
}

GuestReport parse_report(nlmsghdr* header)
{
    const Attributes attributes(header);
    GuestReport report;
    const auto guest = attributes.integer<std::uint32_t>(LACUNA_A_GUEST);
    if (!guest)
        malformed("it names no guest");
    report.guest = *guest;
    report.event = static_cast<lacuna_event>(attributes.integer<std::uint8_t>(LACUNA_A_EVENT).value_or(0));
    if (const auto state = attributes.integer<std::uint8_t>(LACUNA_A_STATE)) {
        if (*state > LACUNA_GUEST_GONE)
            malformed(fmt::format("a guest cannot be in state {}", *state));
        report.state = static_cast<lacuna_guest_state>(*state);
    }
    report.vmm_pid = attributes.integer<std::uint32_t>(LACUNA_A_VMM_PID);
    report.reason = attributes.text(LACUNA_A_REASON);
    report.kernel_id = attributes.text(LACUNA_A_KERNEL_ID);
    report.engine = attributes.integer<std::uint32_t>(LACUNA_A_ENGINE);
    report.slide = attributes.integer<std::uint64_t>(LACUNA_A_SLIDE);
    report.text_gpa = attributes.integer<std::uint64_t>(LACUNA_A_TEXT_GPA);
    if (const auto paging = attributes.integer<std::uint8_t>(LACUNA_A_PAGING)) {
        if (*paging >= LACUNA_PAGINGS)
            malformed(fmt::format("there is no way of paging with the number {}", *paging));
        report.paging = static_cast<lacuna_paging>(*paging);
    }
    report.root = attributes.integer<std::uint64_t>(LACUNA_A_ROOT);
    report.members = attributes.array<lacuna_member_report>(LACUNA_A_MEMBERS, LACUNA_MAX_MEMBERS);
    report.stats = attributes.integer<lacuna_stats>(LACUNA_A_STATS);
    return report;
}

Bytes parse_data(nlmsghdr* header)
{
    const auto data = Attributes(header).data(LACUNA_A_DATA);
    return data ? Bytes(data->begin(), data->end()) : Bytes();
}

} // namespace lacuna
