// SPDX-License-Identifier: GPL-2.0-or-later
#include <iostream>

#include <unistd.h>

#include "control_tool.h"

int main(int argc, char** argv)
{
    return lacuna::run_lacunactl({argv + 1, argv + argc}, {std::cout, std::cerr, isatty(STDOUT_FILENO) == 1});
}
