// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

#include "error.h"
#include "kernel_descriptor.h"

// What lacuna-describe answers lacunad: a line of JSON; behind a descriptor the kernel's symbols, as in a
// System.map. Who has read a guest's bytes may be in that guest's hands, so the answer is looked at as if the
// guest had written it.
namespace lacuna {

std::string answer_of(const KernelDescriptor& descriptor);
std::string answer_of(const Error& error);

// The descriptor. Throws the Error that was answered, or one about `name` if it is no such answer: a
// descriptor that describe_kernel() could not have made.
KernelDescriptor understand_answer(std::string_view answer, const std::string& name);

} // namespace lacuna
