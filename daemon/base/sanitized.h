// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

// LACUNA_SANITIZED: this is built with AddressSanitizer, which takes terabytes of addresses and asks the kernel for more than others do.
#if defined(__SANITIZE_ADDRESS__) // gcc
#define LACUNA_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) // clang
#define LACUNA_SANITIZED
#endif
#endif
