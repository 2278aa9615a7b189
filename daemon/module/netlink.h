// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>

#include <netlink/msg.h>
#include <netlink/netlink.h>

#include "module_link.h"

namespace lacuna {

// The messages of connect_to_module()'s link, apart from its sockets.

using Message = std::unique_ptr<nl_msg, decltype(&nlmsg_free)>;

// A request of the family with that number. Throws std::bad_alloc.
Message new_request(int family, lacuna_command command, int flags = 0);

// The attributes of ARM. Throws Error if a descriptor does not fit the limits of the ABI.
void put_arm(nl_msg* message, std::uint32_t guest, const std::vector<KernelDescriptor>& kernels,
             const ArmOptions& options);

// Reads an event or an answer to STATUS. Throws Error if it is not well-formed or of another ABI version.
GuestReport parse_report(nlmsghdr* header);

} // namespace lacuna
