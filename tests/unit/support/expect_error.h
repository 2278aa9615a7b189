// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <gtest/gtest.h>

#include "error.h"

// The statement must throw lacuna::Error, and what() must contain the text.
#define EXPECT_ERROR(statement, text)                                                                        \
    do {                                                                                                     \
        try {                                                                                                \
            static_cast<void>(statement);                                                                    \
            ADD_FAILURE() << "no error from " #statement;                                                    \
        } catch (const lacuna::Error& expected_error) {                                                      \
            EXPECT_NE(std::string(expected_error.what()).find(text), std::string::npos)                      \
                << expected_error.what();                                                                    \
        }                                                                                                    \
    } while (false)
