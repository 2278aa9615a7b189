// SPDX-License-Identifier: GPL-2.0-or-later
// hunt_cost RECORDING CONSTRAINTS: what the engine reads of a recorded guest, and when it knows what, as JSON. Under valgrind it
// is what is counted.
#include <iostream>
#include <nlohmann/json.hpp>

#include "error.h"
#include "replay.h"

int main(int argc, char** argv)
{
    if (argc != 3) {
        std::cerr << "usage: hunt_cost RECORDING CONSTRAINTS\n";
        return 2;
    }
    try {
        const auto played = lacuna::test::replay(argv[1], argv[2]);
        const nlohmann::json cost{{"events", played.events}, {"wasted", played.wasted}, {"reads", played.reads},
            {"most_reads", played.most_reads}, {"bytes", played.bytes}, {"settled", played.settled}};
        std::cout << cost.dump(2) << "\n";
    } catch (const lacuna::Error& error) {
        std::cerr << "hunt_cost: " << error.what() << "\n";
        return 1;
    }
}
