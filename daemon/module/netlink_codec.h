// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "module_link.h"

namespace lacuna {

// The messages of connect_to_module()'s link, apart from its sockets.

using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;

// Bytes of ours; the constraint set and an ARM of eight kernels need some 12 KiB.
inline constexpr std::size_t max_message = 65536;

// A request of the family with that number. Throws std::bad_alloc.
Message new_request(int family, lacuna_command command, int flags = 0);

// The attributes of requests. All throw Error if they do not fit into the message.
void put_guest(nl_msg* message, std::uint32_t guest); // DISARM, IGNORE
void put_constraints(nl_msg* message, const lacuna_constraints& constraints);
// Throws Error if a descriptor does not fit the limits of the ABI.
void put_arm(nl_msg* message, std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
             const ArmOptions& options);
void put_adopt(nl_msg* message, pid_t vmm_pid, const Fd& vm);
// `length` bytes from an address on, or from an offset into the recording.
void put_read(nl_msg* message, std::uint32_t guest, std::uint64_t address, std::size_t length);

// Reads an event or an answer to STATUS or ADOPT. Throws Error if it is not well-formed or of another ABI
// version.
GuestReport parse_report(nlmsghdr* header);
// Reads an answer to READ or RECORDING. Throws as parse_report().
Bytes parse_data(nlmsghdr* header);

// Throws the Error for a message that is not well-formed.
[[noreturn]] void malformed(const std::string& what);

} // namespace lacuna
