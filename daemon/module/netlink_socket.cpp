// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink_codec.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <functional>
#include <new>

#include <linux/genetlink.h>
#include <netlink/genl/ctrl.h>
#include <netlink/genl/genl.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

namespace lacuna {

namespace {

constexpr std::size_t page_size = 4096;
constexpr int event_buffer = 1 << 20; // bytes of events that may wait for us
constexpr int answer_timeout_s = 10;


using Socket = std::unique_ptr<nl_sock, decltype(&nl_socket_free)>;
using Callbacks = std::unique_ptr<nl_cb, decltype(&nl_cb_put)>;

Socket open_socket(int buffer)
{
    Socket socket(nl_socket_alloc(), nl_socket_free);
    if (!socket)
        throw std::bad_alloc();
    if (const int error = genl_connect(socket.get()); error < 0)
        throw Error(fmt::format("no netlink socket: {}", nl_geterror(error)), module_name);
    // Beyond what net.core.rmem_max allows everybody, as CAP_NET_ADMIN may; else as much as that allows.
    if (!buffer ||
        setsockopt(nl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof(buffer)) != 0)
        nl_socket_set_buffer_size(socket.get(), buffer, 0);
    nl_socket_set_msg_buf_size(socket.get(), max_message);
    return socket;
}

// What a refused request said: the error number and, with extended acknowledgements, the module's own words.
struct Refusal {
    int error = 0; // positive errno; 0: none
    std::string words;
};

std::string extended_words(const nlmsgerr* error)
{
    // NLMSGERR_ATTR_* follow the copy of the request's header, which is short when the acknowledgement is
    // capped.
    const auto* header =
        reinterpret_cast<const nlmsghdr*>(reinterpret_cast<const char*>(error) - NLMSG_HDRLEN);
    if (!(header->nlmsg_flags & NLM_F_ACK_TLVS))
        return {};
    std::size_t skip = sizeof(nlmsgerr);
    if (!(header->nlmsg_flags & NLM_F_CAPPED))
        skip += error->msg.nlmsg_len - NLMSG_HDRLEN;
    if (header->nlmsg_len < NLMSG_HDRLEN + skip)
        return {};
    const int length = static_cast<int>(header->nlmsg_len - NLMSG_HDRLEN - skip);
    auto* first = reinterpret_cast<nlattr*>(const_cast<char*>(reinterpret_cast<const char*>(error)) + skip);
    const nlattr* words = nla_find(first, length, NLMSGERR_ATTR_MSG);
    if (!words)
        return {};
    const char* text = static_cast<const char*>(nla_data(words));
    return std::string(text, strnlen(text, static_cast<std::size_t>(nla_len(words))));
}

[[noreturn]] void refuse(const std::string& what, const Refusal& refusal)
{
    if (refusal.error == EPERM)
        throw Error("no permission to talk to it", module_name, "run as root, or with CAP_NET_ADMIN and CAP_SYS_PTRACE");
    // The only number that has a range of its own is the ABI's version.
    if (refusal.error == ERANGE || (refusal.error == EOPNOTSUPP && refusal.words.empty()))
        throw Error("is of another version than this daemon", module_name,
                    "install both anew, then: rmmod lacuna, modprobe lacuna");
    if (refusal.error == EINPROGRESS)
        throw Error(fmt::format("{} is not over yet: {}", what, refusal.words), module_name,
                    "it goes on by itself; lacunactl status says when it is over");
    const std::string why = refusal.words.empty()
                                ? std::strerror(refusal.error)
                                : fmt::format("{} ({})", refusal.words, std::strerror(refusal.error));
    throw Error(fmt::format("{} was refused: {}", what, why), module_name);
}

ModuleGone not_loaded()
{
    return ModuleGone("is not loaded", module_name, load_hint);
}

// The real thing. Requests and events have a socket each, so that an answer is never mixed up with an event.
class NetlinkLink : public ModuleLink {
public:
    NetlinkLink();
    void set_constraints(const lacuna_constraints& constraints) override;
    void arm(std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
             const ArmOptions& options) override;
    void ignore(std::uint32_t guest) override
    {
        order(LACUNA_CMD_IGNORE, guest, "letting the guest run as it is");
    }
    void disarm(std::uint32_t guest) override { order(LACUNA_CMD_DISARM, guest, "disarming the guest"); }
    GuestReport adopt(pid_t vmm_pid, const Fd& vm) override;
    std::vector<GuestReport> status() override;
    Bytes read(std::uint32_t guest, std::uint64_t gpa, std::size_t length) override;
    Bytes recording(std::uint32_t guest, std::uint64_t offset) override;
    int event_fd() const override { return nl_socket_get_fd(events_.get()); }
    EventBatch events() override;

private:
    using Answer = std::function<void(nlmsghdr*)>;

    void order(lacuna_command command, std::uint32_t guest, const std::string& what);
    Bytes fetch(lacuna_command command, std::uint32_t guest, std::uint64_t address, std::size_t length,
                const std::string& what);
    void transact(nl_msg* request, const std::string& what, const Answer& answer = {});
    void subscribe(const char* family, const char* group);
    bool removed(nlmsghdr* header) const;

    Socket requests_;
    Socket events_;
    int family_ = -1;
};

NetlinkLink::NetlinkLink() : requests_(open_socket(0)), events_(open_socket(event_buffer))
{
    family_ = genl_ctrl_resolve(requests_.get(), LACUNA_GENL_NAME);
    if (family_ < 0)
        throw not_loaded();

    const int fd = nl_socket_get_fd(requests_.get());
    const int on = 1;
    setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on));
    const timeval timeout{answer_timeout_s, 0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));

    nl_socket_disable_seq_check(events_.get());
    nl_socket_set_nonblocking(events_.get());
    subscribe(LACUNA_GENL_NAME, LACUNA_GENL_EVENTS);
    subscribe("nlctrl", "notify"); // says when a family goes away: rmmod
}

void NetlinkLink::subscribe(const char* family, const char* group)
{
    const int number = genl_ctrl_resolve_grp(requests_.get(), family, group);
    if (number < 0)
        throw not_loaded();
    const int error = nl_socket_add_membership(events_.get(), number);
    if (error == -NLE_PERM)
        refuse("listening to it", {EPERM, {}});
    if (error < 0)
        throw Error(fmt::format("its events cannot be listened to: {}", nl_geterror(error)), module_name);
}

// Sends a request and waits until it has been answered and acknowledged. What `answer` throws is thrown on,
// after the conversation is over: exceptions must not cross the C library.
void NetlinkLink::transact(nl_msg* request, const std::string& what, const Answer& answer)
{
    struct State {
        const Answer& answer;
        Refusal refusal{};
        bool finished = false;
        std::exception_ptr error{};
    } state{answer};

    const Callbacks callbacks(nl_cb_alloc(NL_CB_DEFAULT), nl_cb_put);
    if (!callbacks)
        throw std::bad_alloc();
    nl_cb_err(
        callbacks.get(), NL_CB_CUSTOM,
        [](sockaddr_nl*, nlmsgerr* error, void* data) -> int {
            auto& s = *static_cast<State*>(data);
            s.refusal = {-error->error, extended_words(error)};
            s.finished = true;
            return NL_STOP;
        },
        &state);
    nl_cb_set(
        callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM,
        [](nl_msg* message, void* data) -> int {
            auto& s = *static_cast<State*>(data);
            try {
                if (s.answer && !s.error)
                    s.answer(nlmsg_hdr(message));
            } catch (...) {
                s.error = std::current_exception();
            }
            return NL_OK;
        },
        &state);
    const auto finish = [](nl_msg*, void* data) -> int {
        static_cast<State*>(data)->finished = true;
        return NL_STOP;
    };
    nl_cb_set(callbacks.get(), NL_CB_ACK, NL_CB_CUSTOM, finish, &state);
    nl_cb_set(callbacks.get(), NL_CB_FINISH, NL_CB_CUSTOM, finish, &state);

    if (const int sent = nl_send_auto(requests_.get(), request); sent < 0)
        throw Error(fmt::format("{}: nothing could be sent: {}", what, nl_geterror(sent)), module_name);
    while (!state.finished) {
        const int error = nl_recvmsgs(requests_.get(), callbacks.get());
        if (error < 0 && !state.finished)
            throw ModuleGone(fmt::format("{}: no answer: {}", what, nl_geterror(error)), module_name,
                             "look into the kernel's log (dmesg)");
    }
    if (state.refusal.error == ENOENT && genl_ctrl_resolve(requests_.get(), LACUNA_GENL_NAME) != family_)
        throw not_loaded();
    if (state.refusal.error)
        refuse(what, state.refusal);
    if (state.error)
        std::rethrow_exception(state.error);
}

void NetlinkLink::set_constraints(const lacuna_constraints& constraints)
{
    const Message request = new_request(family_, LACUNA_CMD_CONSTRAINTS);
    put_constraints(request.get(), constraints);
    transact(request.get(), "the constraint set");
}

void NetlinkLink::arm(std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
                      const ArmOptions& options)
{
    const Message request = new_request(family_, LACUNA_CMD_ARM);
    put_arm(request.get(), guest, kernels, options);
    transact(request.get(), "arming the guest");
}

void NetlinkLink::order(lacuna_command command, std::uint32_t guest, const std::string& what)
{
    const Message request = new_request(family_, command);
    put_guest(request.get(), guest);
    transact(request.get(), what);
}

GuestReport NetlinkLink::adopt(pid_t vmm_pid, const Fd& vm)
{
    std::optional<GuestReport> report;
    const Message request = new_request(family_, LACUNA_CMD_ADOPT);
    put_adopt(request.get(), vmm_pid, vm);
    transact(request.get(), "taking in a guest that runs already",
             [&](nlmsghdr* header) { report = parse_report(header); });
    if (!report)
        malformed("no answer about the guest that was taken in");
    return std::move(*report);
}

std::vector<GuestReport> NetlinkLink::status()
{
    std::vector<GuestReport> reports;
    const Message request = new_request(family_, LACUNA_CMD_STATUS, NLM_F_DUMP);
    transact(request.get(), "the status of all guests",
             [&](nlmsghdr* header) { reports.push_back(parse_report(header)); });
    return reports;
}

Bytes NetlinkLink::fetch(lacuna_command command, std::uint32_t guest, std::uint64_t address,
                         std::size_t length, const std::string& what)
{
    Bytes bytes;
    const Message request = new_request(family_, command);
    put_read(request.get(), guest, address, length);
    transact(request.get(), what, [&](nlmsghdr* header) { bytes = parse_data(header); });
    if (bytes.size() > length)
        malformed(fmt::format("{} bytes instead of {}", bytes.size(), length));
    return bytes;
}

Bytes NetlinkLink::read(std::uint32_t guest, std::uint64_t gpa, std::size_t length)
{
    Bytes bytes;
    while (bytes.size() < length) {
        const std::uint64_t address = gpa + bytes.size();
        const std::size_t in_page = page_size - address % page_size;
        const std::string what = fmt::format("reading guest memory at {:#x}", address);
        const Bytes part =
            fetch(LACUNA_CMD_READ, guest, address, std::min(in_page, length - bytes.size()), what);
        if (part.empty())
            throw Error(what + ": nothing is there", module_name);
        bytes.insert(bytes.end(), part.begin(), part.end());
    }
    return bytes;
}

Bytes NetlinkLink::recording(std::uint32_t guest, std::uint64_t offset)
{
    return fetch(LACUNA_CMD_RECORDING, guest, offset, LACUNA_MAX_RECORDING_READ, "the recording");
}

// Is this nlctrl's word that our family is gone?
bool NetlinkLink::removed(nlmsghdr* header) const
{
    nlattr* attributes[CTRL_ATTR_MAX + 1] = {};
    const auto* generic = static_cast<const genlmsghdr*>(nlmsg_data(header));
    return header->nlmsg_type == GENL_ID_CTRL && generic->cmd == CTRL_CMD_DELFAMILY &&
           genlmsg_parse(header, 0, attributes, CTRL_ATTR_MAX, nullptr) == 0 &&
           attributes[CTRL_ATTR_FAMILY_ID] && nla_get_u16(attributes[CTRL_ATTR_FAMILY_ID]) == family_;
}

EventBatch NetlinkLink::events()
{
    struct State {
        const NetlinkLink& link;
        EventBatch batch{};
        bool gone = false;
    } state{*this};

    const Callbacks callbacks(nl_cb_alloc(NL_CB_DEFAULT), nl_cb_put);
    if (!callbacks)
        throw std::bad_alloc();
    nl_cb_set(
        callbacks.get(), NL_CB_SEQ_CHECK, NL_CB_CUSTOM, [](nl_msg*, void*) -> int { return NL_OK; }, nullptr);
    nl_cb_set(
        callbacks.get(), NL_CB_VALID, NL_CB_CUSTOM,
        [](nl_msg* message, void* data) -> int {
            auto& s = *static_cast<State*>(data);
            nlmsghdr* header = nlmsg_hdr(message);
            try {
                if (header->nlmsg_type == s.link.family_)
                    s.batch.reports.push_back(parse_report(header));
                else
                    s.gone |= s.link.removed(header);
            } catch (const std::exception& problem) { // must not cross the C library
                spdlog::error("an event is lost: {}", problem.what());
                s.batch.lost = true;
            }
            return NL_OK;
        },
        &state);

    int error;
    while ((error = nl_recvmsgs(events_.get(), callbacks.get())) == 0) {
    }
    if (error == -NLE_NOMEM) // ENOBUFS: the socket's buffer overflowed
        state.batch.lost = true;
    else if (error != -NLE_AGAIN && error != -NLE_INTR)
        throw ModuleGone(fmt::format("no events any more: {}", nl_geterror(error)), module_name);
    if (state.gone)
        throw ModuleGone("has been removed", module_name, load_hint);
    return std::move(state.batch);
}

} // namespace

std::unique_ptr<ModuleLink> connect_to_module()
{
    return std::make_unique<NetlinkLink>();
}

} // namespace lacuna
