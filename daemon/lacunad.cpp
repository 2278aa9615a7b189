// SPDX-License-Identifier: GPL-2.0-or-later
#include <csignal>
#include <iostream>

#include <CLI/CLI.hpp>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>

#include "daemon.h"
#include "module_link.h"

namespace {

// Before any thread is made, so that all of them leave these signals to us.
lacuna::Fd stop_signals()
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    lacuna::Fd fd(signalfd(-1, &signals, SFD_CLOEXEC));
    if (!fd)
        throw lacuna::system_error("no signalfd", "lacunad");
    return fd;
}

void log_to_stderr(const std::string& level)
{
    spdlog::set_default_logger(spdlog::stderr_color_mt("lacunad"));
    spdlog::set_level(spdlog::level::from_str(level));
    // The journal has its own clock.
    spdlog::set_pattern(std::getenv("JOURNAL_STREAM") ? "%l: %v" : "%H:%M:%S.%e %^%l%$: %v");
    spdlog::flush_on(spdlog::level::info);
}

} // namespace

int main(int argc, char** argv)
{
    CLI::App app(
        "Learns where the kernels of this host's Linux guests keep their data, by watching them boot.",
        "lacunad");
    std::string config_file, store, socket, constraints, level = "info";
    app.add_option("--config", config_file,
                   std::string("configuration [") + lacuna::default_config + ", if it is there]");
    app.add_option("--store", store, "folder of profiles and guests");
    app.add_option("--socket", socket, "control socket");
    app.add_option("--constraints", constraints, "folder of constraint files");
    app.add_option("--log-level", level, "what to log")
        ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}))
        ->capture_default_str();
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }

    try {
        log_to_stderr(level);
        const lacuna::Fd stop = stop_signals();
        lacuna::Config config;
        if (!config_file.empty())
            config = lacuna::load_config(config_file);
        else if (std::filesystem::exists(lacuna::default_config))
            config = lacuna::load_config(lacuna::default_config);
        else
            spdlog::info("no configuration in {}: guests are armed by lacunactl arm only",
                         lacuna::default_config);
        if (!store.empty())
            config.store = store;
        if (!socket.empty())
            config.socket = socket;
        if (!constraints.empty())
            config.constraints = constraints;
        lacuna::Daemon(config, lacuna::connect_to_module).run(stop.get());
        return 0;
    } catch (const std::exception& error) {
        spdlog::critical("{}", error.what());
        return 1;
    }
}
