// SPDX-License-Identifier: GPL-2.0-or-later
#include "control_tool.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <optional>

#include <CLI/CLI.hpp>
#include <spdlog/fmt/fmt.h>
#include <unistd.h>

#include "config.h"
#include "control.h"
#include "doctor.h"
#include "exports.h"
#include "guest_dump.h"
#include "kernel_reader.h"
#include "names.h"
#include "payload.h"
#include "presentation.h"
#include "requests.h"
#include "store.h"
#include "symbol_file.h"
#include "view_presentation.h"

namespace lacuna {

namespace {

// The daemon said no.
class Refused : public Error {
public:
    Refused(const std::string& words, ExitCode exit_code) : Error(words), code(exit_code) {}
    ExitCode code;
};

struct Options {
    std::string socket = default_socket;
    std::string store; // empty: the configured one
    bool json = false;
    std::string guest; // or kernel id
    bool until_done = false, wait = false, record = false, deep = false;
    pid_t pid = 0;
    std::string name, out, system_map, format, memory, qmp;
    bool all_symbols = false, full = false, threads = false, tree = false;
    std::int32_t process = 0;
    std::vector<std::string> symbols;
    std::vector<std::string> kernels;
};

using Print = std::function<void(std::ostream&, const Json&)>;

Json checked(Json answer)
{
    if (answer.value("ok", false)) {
        answer.erase("ok");
        return answer;
    }
    const std::string code = answer.value("code", "failed");
    throw Refused(answer.value("error", "the daemon refused without a reason"),
                  code == "unknown" ? exit_unknown
                  : code == "usage" ? exit_usage
                                    : exit_failed);
}

void show(const Options& options, const Streams& streams, const Json& answer, const Print& print)
{
    if (options.json)
        streams.out << to_text(answer, 2, streams.out_is_terminal) << '\n';
    else
        print(streams.out, answer);
}

int ask(const Options& options, const Streams& streams, const Json& request, const Print& print)
{
    ControlClient client(std::filesystem::path(options.socket));
    show(options, streams, checked(client.request(request)), print);
    return exit_ok;
}

int watch(const Options& options, const Streams& streams)
{
    ControlClient client(std::filesystem::path(options.socket));
    client.send({{"command", "watch"}, {"guest", options.guest}, {"wait", options.wait}});
    WatchView view(streams.out, streams.out_is_terminal && !options.json);
    while (auto line = client.receive()) {
        const Json guest = checked(std::move(*line)).at("guest");
        if (options.json)
            streams.out << to_text(guest, -1, streams.out_is_terminal) << std::endl;
        else
            view.update(guest);
        const std::string state = guest.at("state").get<std::string>();
        if (!options.until_done)
            continue;
        if (state == "done")
            return exit_ok;
        if (state == "failed" || state == "gone" || state == "ignored")
            return exit_failed;
    }
    throw DaemonUnreachable("lacunad has ended", options.socket);
}

// Where profiles are: what was asked for goes before what the daemon is told.
std::filesystem::path store_of(const Options& options)
{
    if (!options.store.empty())
        return options.store;
    try {
        return load_config(default_config).store;
    } catch (const Error&) { // there is none, or it may not be read
        return default_store;
    }
}

// The profile of a kernel, or of a guest's kernel, without a daemon.
std::optional<Json> profile_from_store(const Store& store, const std::string& guest_or_kernel)
{
    std::string id = guest_or_kernel;
    Json facts;
    auto profile = store.profile(id); // first: not everybody may look into the folder of guests
    if (!profile) {
        auto guest = store.guest(guest_or_kernel);
        if (!guest || !guest->at("kernel").at("id").is_string())
            return std::nullopt;
        id = guest->at("kernel").at("id").get<std::string>();
        facts = std::move(*guest);
        profile = store.profile(id);
    }
    if (!profile)
        return std::nullopt;
    return profile_answer(store, id, facts);
}

int profile(const Options& options, const Streams& streams)
{
    const auto print = [](std::ostream& out, const Json& answer) {
        const auto file = answer.at("file").get<std::string>();
        print_profile(out, profile_from_json(answer.at("profile"), file), file);
        print_exports(out, answer.at("exports"));
    };
    Json answer;
    try {
        ControlClient client(std::filesystem::path(options.socket));
        answer = checked(client.request({{"command", "profile"}, {"name", options.guest}}));
    } catch (const DaemonUnreachable& unreachable) {
        const auto folder = store_of(options);
        auto stored = profile_from_store(Store::existing(folder), options.guest);
        if (!stored)
            throw Refused("no profile of " + options.guest + " in " + folder.string() + " (" +
                              unreachable.what() + ")",
                          std::filesystem::exists(folder) ? exit_unknown : exit_unreachable);
        answer = std::move(*stored);
    }
    if (options.json) // the profile itself, as it lies in the store
        streams.out << to_text(answer.at("profile"), 2, streams.out_is_terminal) << '\n';
    else
        print(streams.out, answer);
    return exit_ok;
}

// The store has all that it takes: no daemon is asked.
int export_form(const Options& options, const Streams& streams)
{
    if (options.out.empty() && options.format == "elf")
        throw Error("is no text", "an ELF file", "say by --out where it is to be written");
    const std::string text = make_export(Store::existing(store_of(options)),
                                         {options.format, options.guest, options.memory, options.all_symbols});
    if (options.out.empty())
        streams.out << text;
    else
        write_atomically(std::filesystem::absolute(options.out), text,
                         options.format == "isf" ? 0644 : 0600); // the others tell where a guest's kernel is
    return exit_ok;
}

// What Volatility needs beside the memory, if it is there to be had: of a guest that Lacuna has learned nothing of there is none.
std::optional<std::string> volatility_config_of(const Options& options, const std::filesystem::path& memory)
{
    try {
        return make_export(Store::existing(store_of(options)), {"vol-config", options.guest, memory, false});
    } catch (const Error&) {
        return std::nullopt;
    }
}

int dump(const Options& options, const Streams& streams)
{
    const auto file = std::filesystem::absolute(options.out);
    std::string libvirt = Config().libvirt;
    try {
        libvirt = load_config(default_config).libvirt;
    } catch (const Error&) { // as it is by default
    }
    const auto progress = [&](unsigned percent) {
        if (streams.out_is_terminal)
            streams.err << fmt::format("\r{:3} %", percent) << std::flush;
    };
    const bool raw = options.format != "elf";
    const auto before = raw ? volatility_config_of(options, file) : std::nullopt;
    dump_guest({options.guest, file, raw ? DumpFormat::raw : DumpFormat::elf, options.qmp, libvirt}, progress);
    if (streams.out_is_terminal)
        streams.err << "\r     \r";
    // Of one that has booted anew meanwhile nobody knows which boot's memory this is.
    std::optional<std::filesystem::path> config;
    try {
        if (before && before == volatility_config_of(options, file)) {
            write_atomically(file.string() + ".vol.json", *before, 0600);
            config = file.string() + ".vol.json";
        }
    } catch (const Error&) { // the memory is there all the same
    }
    show(options, streams,
         {{"file", file.string()}, {"bytes", std::filesystem::file_size(file)}, {"volatility", config ? Json(config->string()) : Json()}},
         [](std::ostream& out, const Json& answer) {
             out << answer.at("file").get<std::string>() << ": " << answer.at("bytes") << " bytes\n";
             if (answer.at("volatility").is_string())
                 out << "for Volatility: vol -c " << answer.at("volatility").get<std::string>() << " PLUGIN\n";
         });
    return exit_ok;
}

int forget(const Options& options, const Streams& streams)
{
    try {
        ControlClient client(std::filesystem::path(options.socket));
        checked(client.request({{"command", "forget"}, {"kernel", options.guest}}));
    } catch (const DaemonUnreachable& unreachable) {
        const auto folder = store_of(options);
        if (!Store::existing(folder).forget_profile(options.guest))
            throw Refused("no profile of " + options.guest + " in " + folder.string() + " (" +
                              unreachable.what() + ")",
                          std::filesystem::exists(folder) ? exit_unknown : exit_unreachable);
    }
    show(options, streams, {{"forgotten", options.guest}}, [](std::ostream& out, const Json& answer) {
        out << "forgotten: " << answer.at("forgotten").get<std::string>() << '\n';
    });
    return exit_ok;
}

int arm(const Options& options, const Streams& streams)
{
    Json request = {
        {"command", "arm"}, {"pid", options.pid}, {"name", options.name}, {"record", options.record}};
    for (const std::string& kernel : options.kernels)
        request["kernels"].push_back(std::filesystem::absolute(kernel).string());
    if (!options.system_map.empty())
        request["system_map"] = std::filesystem::absolute(options.system_map).string();
    if (streams.out_is_terminal)
        streams.err << "reading the kernel...\n";
    return ask(options, streams, request, [](std::ostream& out, const Json& answer) {
        out << "armed: " << answer.at("guest").get<std::string>() << '\n';
    });
}

int learn(const Options& options, const Streams& streams)
{
    if (options.deep)
        return ask(options, streams, {{"command", "learn"}, {"guest", options.guest}, {"deep", true}}, print_deep);
    if (streams.out_is_terminal)
        streams.err << "reading its kernels...\n";
    return ask(options, streams, {{"command", "learn"}, {"guest", options.guest}},
               [](std::ostream& out, const Json& answer) {
                   const auto guest = answer.at("guest").get<std::string>();
                   out << "armed: " << guest << "; lacunactl watch " << guest << " shows how far it is\n";
               });
}

std::string from_hex(const std::string& digits)
{
    std::string bytes;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
        bytes += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
    return bytes;
}

int record(const Options& options, const Streams& streams)
{
    ControlClient client(std::filesystem::path(options.socket));
    std::string recording;
    for (;;) {
        const Json request = {{"command", "record"}, {"guest", options.guest}, {"offset", recording.size()}};
        const std::string part = from_hex(checked(client.request(request)).at("data").get<std::string>());
        if (part.empty())
            break;
        recording += part;
    }
    if (recording.empty())
        throw Refused(
            options.guest +
                ": there is no recording; arm it with --record, or set record = true in the configuration",
            exit_failed);
    write_atomically(std::filesystem::absolute(options.out), recording, 0640);
    show(options, streams, {{"file", options.out}, {"bytes", recording.size()}},
         [](std::ostream& out, const Json& answer) {
             out << answer.at("bytes").dump() << " bytes written to " << answer.at("file").get<std::string>()
                 << '\n';
         });
    return exit_ok;
}

int kernel(const Options& options, const Streams& streams)
{
    if (streams.out_is_terminal)
        streams.err << "reading " << options.kernels.front() << "...\n";
    const FrozenFile image(options.kernels.front(), max_kernel_size);
    std::optional<FrozenFile> map;
    if (!options.system_map.empty())
        map.emplace(options.system_map, max_system_map_size);
    const KernelDescriptor descriptor = KernelReader()(image, map ? &*map : nullptr);
    if (options.json)
        streams.out << to_json(descriptor).dump(2) << '\n';
    else
        print_kernel(streams.out, descriptor);
    return exit_ok;
}

int check_config(const Options& options, const Streams& streams)
{
    const std::string file = options.name.empty() ? default_config : options.name;
    const Config config = load_config(file);
    const auto doubts = doubts_about(config);
    show(options, streams,
         {{"file", file}, {"valid", true}, {"rules", config.guests.size()}, {"doubts", doubts}},
         [](std::ostream& out, const Json& answer) {
             for (const Json& doubt : answer.at("doubts"))
                 out << "doubt: " << doubt.get<std::string>() << '\n';
             out << answer.at("file").get<std::string>() << ": valid, " << answer.at("rules")
                 << " rules for guests\n";
         });
    return doubts.empty() ? exit_ok : exit_failed;
}

int doctor(const Options& options, const Streams& streams)
{
    const auto findings = examine({"/", default_config, store_of(options), options.socket, geteuid() == 0});
    const Json json = to_json(findings);
    show(options, streams, {{"findings", json}}, print_findings);
    return std::all_of(json.begin(), json.end(), [](const Json& one) { return one.at("verdict") == "good"; })
               ? exit_ok
               : exit_failed;
}

using Command = std::function<int(const Options&, const Streams&)>;

// A command that only asks about one guest.
Command about_guest(const std::string& command, const Print& print)
{
    return [=](const Options& options, const Streams& streams) {
        return ask(options, streams, {{"command", command}, {"guest", options.guest}}, print);
    };
}

int processes(const Options& options, const Streams& streams)
{
    Json request = {{"command", "ps"}, {"guest", options.guest}};
    if (!options.full && !options.threads && !options.tree)
        return ask(options, streams, request, print_processes);
    request["full"] = true;
    const auto form = options.tree      ? ProcessForm::tree
                      : options.threads ? ProcessForm::threads
                                        : ProcessForm::full;
    return ask(options, streams, request,
               [form](std::ostream& out, const Json& answer) { print_processes_in_full(out, answer, form); });
}

// A view of a guest, or of one process in it.
Command view(const std::string& command, const Print& print)
{
    return [=](const Options& options, const Streams& streams) {
        Json request = {{"command", command}, {"guest", options.guest}};
        if (options.process)
            request["pid"] = options.process;
        return ask(options, streams, request, print);
    };
}

// The kernel's symbols, where this boot has put them; those that are named, or all. Needs no daemon.
int symbols(const Options& options, const Streams& streams)
{
    const auto all = addresses_of(make_export(Store::existing(store_of(options)), {"map", options.guest, {}, false}));
    Json found = Json::object();
    for (const std::string& name : options.symbols) {
        const auto symbol = all.find(name);
        if (symbol == all.end())
            throw Refused("its kernel has no symbol " + name, exit_failed);
        found[name] = hex(symbol->second);
    }
    if (options.symbols.empty()) {
        std::map<std::string, Json> every; // looking a name up in an ordered object takes as long as it has names
        for (const auto& [name, address] : all)
            every.emplace_hint(every.end(), name, hex(address));
        found = nlohmann::json(std::move(every));
    }
    show(options, streams, {{"symbols", std::move(found)}}, [](std::ostream& out, const Json& answer) {
        for (const auto& [name, address] : answer.at("symbols").items())
            out << address.get<std::string>() << ' ' << harmless(name) << '\n';
    });
    return exit_ok;
}

// Adds all commands to `app`; the one that is used is put into `chosen`.
void add_commands(CLI::App& app, Options& options, Command& chosen)
{
    const auto add = [&](const char* name, const char* help, const Command& command) {
        CLI::App* sub = app.add_subcommand(name, help);
        sub->callback([&chosen, command] { chosen = command; });
        return sub;
    };
    const auto of_guest = [&](CLI::App* sub) {
        sub->add_option("guest", options.guest, "name of the guest")->required();
    };

    add("status", "all guests and how far they are", [](const Options& o, const Streams& s) {
        return ask(o, s, {{"command", "status"}}, print_status);
    });
    CLI::App* watching = add("watch", "candidates as they fall", watch);
    CLI::Option* watched = watching->add_option("guest", options.guest, "name of the guest; all, if none");
    watching
        ->add_flag("--until-done", options.until_done,
                   "end when the guest is done (0), or failed or gone (1)")
        ->needs(watched);
    watching->add_flag("--wait", options.wait, "the guest may have yet to be started")->needs(watched);
    CLI::App* profiling = add("profile", "the offsets that were learned", profile);
    profiling->add_option("name", options.guest, "name of the guest, or kernel id")->required();
    profiling->add_option("--store", options.store,
                          "where to look when the daemon is not there [the configured one]");
    CLI::App* exporting = add("export", "what was learned in the form that a tool reads; needs no daemon", export_form);
    exporting->add_option("name", options.guest, "name of the guest, or kernel id")->required();
    exporting->add_option("--format", options.format, "isf, libvmi, vol-config, vmcoreinfo, map or elf")
        ->required()
        ->check(CLI::IsMember({"isf", "libvmi", "vol-config", "vmcoreinfo", "map", "elf"}));
    exporting->add_option("--out", options.out, "file to write [standard output]");
    exporting->add_option("--memory", options.memory, "file with the guest's memory, for vol-config");
    exporting->add_flag("--all-symbols", options.all_symbols, "of the kernel, not only those that tools ask for; for isf");
    exporting->add_option("--store", options.store, "folder of profiles [the configured one]");
    CLI::App* dumping = add("dump", "copy the guest's memory, which stands still meanwhile, into a file", dump);
    of_guest(dumping);
    dumping->add_option("file", options.out, "to write; there must be none")->required();
    dumping->add_option("--format", options.format, "raw or elf [raw]")->check(CLI::IsMember({"raw", "elf"}));
    dumping->add_option("--qmp", options.qmp, "QEMU's QMP socket, for a guest that is no domain of libvirt");
    dumping->add_option("--store", options.store, "folder of profiles [the configured one]");
    CLI::App* forgetting = add("forget", "remove what was learned of a kernel: it is learned anew", forget);
    forgetting->add_option("kernel", options.guest, "kernel id")->required();
    forgetting->add_option("--store", options.store,
                           "where to look when the daemon is not there [the configured one]");
    CLI::App* listing = add("ps", "the guest's processes, rebuilt from outside", processes);
    of_guest(listing);
    listing->add_flag("-f,--full", options.full, "with user, parent, threads, start, program and command");
    listing->add_flag("-L,--threads", options.threads, "their threads");
    listing->add_flag("--tree", options.tree, "children below their parents");
    of_guest(add("lsmod", "the guest's modules, rebuilt from outside", about_guest("lsmod", print_modules)));
    const auto of_process = [&](CLI::App* sub) {
        of_guest(sub);
        return sub->add_option("pid", options.process, "number of the process, in the guest")->check(CLI::PositiveNumber);
    };
    of_process(add("lsof", "files that processes have open", view("lsof", print_files)));
    of_guest(add("ss", "sockets that processes have open", view("ss", print_sockets)));
    of_process(add("maps", "a process's memory areas", view("maps", print_areas)))->required();
    of_process(add("env", "a process's environment", view("env", print_environment)))->required();
    of_process(add("mounts", "what process 1, or another, sees mounted", view("mounts", print_mounts)));
    CLI::App* naming = add("symbols", "the kernel's symbols, where this boot has put them; needs no daemon", symbols);
    of_guest(naming);
    naming->add_option("symbols", options.symbols, "only these");
    naming->add_option("--store", options.store, "folder of profiles [the configured one]");
    of_guest(add("stats", "traps, and what they cost", about_guest("stats", print_stats)));
    CLI::App* arming = add("arm", "learn from a machine that has not started its kernel yet", arm);
    arming->add_option("--pid", options.pid, "process of the machine's VMM")->required();
    arming->add_option("--name", options.name, "how to call the guest");
    arming->add_option("--kernel", options.kernels, "the kernel that it may start; several are allowed")
        ->required();
    arming->add_option("--system-map", options.system_map, "the kernel's System.map");
    arming->add_flag("--record", options.record, "keep a recording of the boot");
    CLI::App* learning = add("learn", "learn from a guest that runs already, without a reboot", learn);
    learning->add_option("guest", options.guest, "name of the guest, or process of its VMM")->required();
    learning->add_flag("--deep", options.deep, "more members, by looking at it without a trap");
    of_guest(add("disarm", "put the guest's bytes back and let it go",
                 about_guest("disarm", [](std::ostream& out, const Json&) { out << "disarmed\n"; })));
    CLI::App* recording = add("record", "fetch the recording of a guest's boot", record);
    of_guest(recording);
    recording->add_option("--out", options.out, "file to write")->required();
    CLI::App* checking = add("check-config", "check a configuration; needs no daemon", check_config);
    checking->add_option("file", options.name, std::string("the configuration [") + default_config + "]");
    CLI::App* examining =
        add("doctor", "look whether this host has what Lacuna needs, and say what to do", doctor);
    examining->add_option("--store", options.store, "folder of profiles [the configured one]");
    CLI::App* describing = add("kernel", "describe a kernel image; needs no daemon", kernel);
    describing->add_option("file", options.kernels, "vmlinuz or vmlinux")->required()->expected(1);
    describing->add_option("--system-map", options.system_map, "the kernel's System.map");
}

} // namespace

int run_lacunactl(std::vector<std::string> arguments, const Streams& streams)
{
    Options options;
    Command chosen;
    CLI::App app("Talks to lacunad, which learns where guests' kernels keep their data.", "lacunactl");
    app.footer("Exit codes: 0 ok, 1 the request failed, 2 usage, 3 lacunad is not reachable, 4 guest or "
               "profile unknown.");
    app.fallthrough();
    app.require_subcommand(1);
    app.add_option("--socket", options.socket, "control socket of lacunad")->capture_default_str();
    app.add_flag("--json", options.json, "for programs");
    add_commands(app, options, chosen);
    try {
        std::reverse(arguments.begin(), arguments.end()); // as CLI11 wants them
        app.parse(std::move(arguments));
    } catch (const CLI::ParseError& error) {
        return app.exit(error, streams.out, streams.err) == 0 ? exit_ok : exit_usage;
    }
    try {
        return chosen(options, streams);
    } catch (const DaemonUnreachable& error) {
        streams.err << "lacunactl: " << harmless(error.what()) << '\n';
        return exit_unreachable;
    } catch (const Refused& error) {
        streams.err << "lacunactl: " << harmless(error.what()) << '\n';
        return error.code;
    } catch (const Unknown& error) {
        streams.err << "lacunactl: " << harmless(error.what()) << '\n';
        return exit_unknown;
    } catch (const std::exception& error) {
        streams.err << "lacunactl: " << harmless(error.what()) << '\n';
        return exit_failed;
    }
}

} // namespace lacuna
