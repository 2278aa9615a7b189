// SPDX-License-Identifier: GPL-2.0-or-later
#include "module_link.h"

namespace lacuna {

const char* to_string(lacuna_guest_state state)
{
    switch (state) {
    case LACUNA_GUEST_CREATED:
        return "created";
    case LACUNA_GUEST_IGNORED:
        return "ignored";
    case LACUNA_GUEST_WAITING:
        return "waiting";
    case LACUNA_GUEST_TRAPPING:
        return "trapping";
    case LACUNA_GUEST_RESTORING:
        return "restoring";
    case LACUNA_GUEST_DONE:
        return "done";
    case LACUNA_GUEST_FAILED:
        return "failed";
    case LACUNA_GUEST_GONE:
        return "gone";
    }
    return "unknown";
}

const char* to_string(lacuna_member_state state)
{
    switch (state) {
    case LACUNA_OPEN:
        return "open";
    case LACUNA_RESOLVED:
        return "resolved";
    case LACUNA_AMBIGUOUS:
        return "ambiguous";
    case LACUNA_CONTRADICTED:
        return "contradicted";
    }
    return "unknown";
}

} // namespace lacuna
