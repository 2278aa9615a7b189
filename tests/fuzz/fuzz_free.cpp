// SPDX-License-Identifier: GPL-2.0-or-later
//
// LACUNA_FUZZ=HARNESS fuzz_free ...: libFuzzer, whose options and folders of inputs the arguments are.
#include <cstdlib>
#include <iostream>

#include "harness.h"

namespace {

const lacuna::fuzz::Harness* chosen;

}

extern "C" int LLVMFuzzerInitialize(int*, char***)
{
    try {
        const char* name = std::getenv("LACUNA_FUZZ");
        chosen = &lacuna::fuzz::harness(name ? name : "");
    } catch (const std::exception& error) {
        std::cerr << "fuzz_free: " << error.what() << '\n';
        std::exit(2);
    }
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    chosen->run({data, size});
    return 0;
}
