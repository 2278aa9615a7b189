// SPDX-License-Identifier: GPL-2.0-or-later
#include <csignal>
#include <initializer_list>
#include <iostream>

#include <CLI/CLI.hpp>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "daemon.h"
#include "journal_sink.h"
#include "module_link.h"
#include "names.h"

namespace {

// Before any thread is made, so that all of them leave these signals to us.
lacuna::Fd receive(std::initializer_list<int> numbers)
{
    sigset_t signals;
    sigemptyset(&signals);
    for (const int number : numbers)
        sigaddset(&signals, number);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);
    lacuna::Fd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd)
        throw lacuna::system_error("no signalfd", "lacunad");
    return fd;
}

// Paths come from the command lines of others' VMMs.
class PrintableMessage : public spdlog::custom_flag_formatter {
public:
    void format(const spdlog::details::log_msg& message, const std::tm&, spdlog::memory_buf_t& out) override
    {
        const std::string text = lacuna::printable({message.payload.data(), message.payload.size()});
        out.append(text.data(), text.data() + text.size());
    }
    std::unique_ptr<custom_flag_formatter> clone() const override
    {
        return std::make_unique<PrintableMessage>();
    }
};

// systemd says so when what we print would go to the journal (systemd.exec(5), JOURNAL_STREAM).
void start_log()
{
    if (std::getenv("JOURNAL_STREAM"))
        spdlog::set_default_logger(
            std::make_shared<spdlog::logger>("lacunad", std::make_shared<lacuna::JournalSink>()));
    else
        spdlog::set_default_logger(spdlog::stderr_color_mt("lacunad"));
    auto formatter = std::make_unique<spdlog::pattern_formatter>();
    formatter->add_flag<PrintableMessage>('*').set_pattern("%H:%M:%S.%e %^%l%$: %*");
    spdlog::set_formatter(std::move(formatter));
    spdlog::flush_on(spdlog::level::info);
}

// What the command line says goes before what the configuration says.
struct CommandLine {
    std::string config, store, socket, constraints, level;

    lacuna::Config configuration() const
    {
        lacuna::Config read;
        if (!config.empty())
            read = lacuna::load_config(config);
        else if (std::filesystem::exists(lacuna::default_config))
            read = lacuna::load_config(lacuna::default_config);
        else
            spdlog::info("no configuration in {}: guests are armed by lacunactl arm only",
                         lacuna::default_config);
        if (!store.empty())
            read.store = store;
        if (!socket.empty())
            read.socket = socket;
        if (!constraints.empty())
            read.constraints = constraints;
        if (!level.empty())
            read.log_level = level;
        spdlog::set_level(spdlog::level::from_str(read.log_level));
        for (const std::string& doubt : lacuna::doubts_about(read))
            spdlog::warn("configuration: {}", doubt);
        return read;
    }
};

} // namespace

int main(int argc, char** argv)
{
    CLI::App app(
        "Learns where the kernels of this host's Linux guests keep their data, by watching them boot.",
        "lacunad");
    CommandLine line;
    app.add_option("--config", line.config,
                   std::string("configuration [") + lacuna::default_config + ", if it is there]");
    app.add_option("--store", line.store, "folder of profiles and guests");
    app.add_option("--socket", line.socket, "control socket");
    app.add_option("--constraints", line.constraints, "folder of constraint files");
    app.add_option("--log-level", line.level, "what to log, whatever the configuration says")
        ->check(CLI::IsMember({"trace", "debug", "info", "warn", "error", "off"}));
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? 0 : 2;
    }

    try {
        start_log();
        const lacuna::Fd stop = receive({SIGTERM, SIGINT}), reload = receive({SIGHUP});
        lacuna::Daemon daemon(line.configuration(), lacuna::connect_to_module);
        daemon.reload_on(reload.get(), [&] {
            for (signalfd_siginfo signal{}; read(reload.get(), &signal, sizeof(signal)) > 0;)
                ;
            return line.configuration();
        });
        daemon.run(stop.get());
        return 0;
    } catch (const std::exception& error) {
        spdlog::critical("{}", error.what());
        return 1;
    }
}
