// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "names.h"

using namespace lacuna;

TEST(Names, NobodysWordsMoveACursor)
{
    EXPECT_EQ(printable("/srv/büro 1.qcow2"), "/srv/büro 1.qcow2");
    EXPECT_EQ(printable("a\nlacunad: all is well\x1b[2J\x7f"), "a\\x0alacunad: all is well\\x1b[2J\\x7f");
    EXPECT_EQ(printable("\xc2\x9b" "2J"), "\\xc2\\x9b2J");
    EXPECT_EQ(printable("\xc2"), "\xc2");
}

TEST(Names, NamesOfFilesAreHarmless)
{
    EXPECT_EQ(file_name("web-1.example_com"), "web-1.example_com");
    EXPECT_EQ(file_name("../../etc/passwd"), "_.._.._etc_passwd");
    EXPECT_EQ(file_name("a b\nc"), "a_b_c");
    EXPECT_EQ(file_name(""), "_");
    EXPECT_EQ(file_name(std::string(500, 'x')).size(), 100u);
}

TEST(Names, NumbersAndBytesInHex)
{
    EXPECT_EQ(hex(0), "0x0");
    EXPECT_EQ(hex(0xffffffff'8aa0'0000), "0xffffffff8aa00000");
    EXPECT_EQ(hex(Bytes{0, 0x1f, 0xff}), "001fff");
    EXPECT_EQ(hex(Bytes{}), "");
}
