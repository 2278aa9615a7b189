// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "journal_sink.h"

using lacuna::guest_of;

TEST(JournalSink, MessagesNameTheirGuest)
{
    EXPECT_EQ(guest_of("[web1] was reset"), "web1");
    EXPECT_EQ(guest_of("[a[1]] x"), "a[1]");
    EXPECT_EQ(guest_of("ready, waiting for guests"), "");
    EXPECT_EQ(guest_of("/srv/[a] x"), "");
    EXPECT_EQ(guest_of("[half"), "");
    EXPECT_EQ(guest_of(""), "");
}
