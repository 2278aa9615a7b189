// SPDX-License-Identifier: GPL-2.0-or-later
// hunt_cost engine|literal RECORDING CONSTRAINTS [TRUTH]: what a hunt reads of a recorded guest, when it knows what, and, where the
// true offsets are given, how right it is; as JSON. Under valgrind (scripts/bench) it is what instructions are counted of.
#include <algorithm>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "constraint_set.h"
#include "error.h"
#include "literal.h"

namespace {

using namespace lacuna::test;

// By member: "right", "wrong", or, if it was not found, "open", or "lost" where the true candidate is not left.
nlohmann::json verdicts(const Reports& reports, const std::string& file)
{
    std::ifstream stream(file);
    const auto truth = nlohmann::json::parse(stream).at("members");
    nlohmann::json verdicts;
    for (const auto& [name, report] : reports) {
        const auto dot = name.find('.');
        const int offset = truth.at(name.substr(0, dot)).at(name.substr(dot + 1));
        const auto* end = report.candidates + std::min<std::uint32_t>(report.remaining, LACUNA_LISTED_CANDIDATES);
        const bool left = report.remaining > LACUNA_LISTED_CANDIDATES || std::find(report.candidates, end, offset) != end;
        verdicts[name] = report.state == LACUNA_RESOLVED ? report.candidates[0] == offset ? "right" : "wrong" : left ? "open" : "lost";
    }
    return verdicts;
}

} // namespace

int main(int argc, char** argv)
{
    const std::string kind = argc > 1 ? argv[1] : "";
    if ((argc != 4 && argc != 5) || (kind != "engine" && kind != "literal")) {
        std::cerr << "usage: hunt_cost engine|literal RECORDING CONSTRAINTS [TRUTH]\n";
        return 2;
    }
    try {
        const auto set = lacuna::load_constraints(argv[3]);
        const auto hunter = kind == "engine" ? std::unique_ptr<Hunter>(std::make_unique<EngineHunter>(set))
                                             : std::make_unique<LiteralHunter>(set);
        const auto played = replay(read_recording(argv[2]), argv[2], *hunter);
        nlohmann::json cost{{"events", played.events}, {"wasted", played.wasted}, {"reads", played.reads},
            {"most_reads", played.most_reads}, {"bytes", played.bytes}, {"settled", played.settled}};
        if (argc == 5)
            cost["verdicts"] = verdicts(played.reports, argv[4]);
        std::cout << cost.dump(2) << "\n";
    } catch (const std::exception& error) {
        std::cerr << "hunt_cost: " << error.what() << "\n";
        return 1;
    }
}
