// SPDX-License-Identifier: GPL-2.0-or-later
#include "doctor.h"

#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "config.h"
#include "control.h"

namespace lacuna {

namespace {

class Doctor {
public:
    explicit Doctor(const Examination& examination) : e_(examination) {}

    std::vector<Finding> examine()
    {
        kvm();
        ftrace();
        module();
        configuration();
        daemon();
        libvirt();
        appliance();
        store();
        return std::move(findings_);
    }

private:
    std::filesystem::path at(const std::filesystem::path& path) const
    {
        return e_.root / path.relative_path();
    }
    bool exists(const std::filesystem::path& path) const
    {
        std::error_code error;
        return std::filesystem::exists(at(path), error);
    }
    std::string text_of(const std::filesystem::path& path) const
    {
        std::ifstream stream(at(path), std::ios::binary);
        return {std::istreambuf_iterator<char>(stream), {}};
    }

    void good(const std::string& subject, const std::string& found)
    {
        findings_.push_back({Finding::good, subject, found, {}});
    }
    void doubtful(const std::string& subject, const std::string& found, const std::string& advice)
    {
        findings_.push_back({Finding::doubtful, subject, found, advice});
    }
    void bad(const std::string& subject, const std::string& found, const std::string& advice)
    {
        findings_.push_back({Finding::bad, subject, found, advice});
    }

    void kvm()
    {
        const bool amd = exists("/sys/module/kvm_amd"), intel = exists("/sys/module/kvm_intel");
        if (!amd && !intel)
            return bad("KVM", "neither kvm_amd nor kvm_intel is loaded",
                       "switch virtualisation on in the firmware's setup, then: modprobe kvm_amd or modprobe "
                       "kvm_intel");
        if (!exists("/dev/kvm"))
            return bad("KVM", "is loaded, but there is no /dev/kvm",
                       "see dmesg for what KVM complains about");
        good("KVM", amd ? "kvm_amd is loaded" : "kvm_intel is loaded");
    }

    void ftrace()
    {
        const std::string enabled = text_of("/proc/sys/kernel/ftrace_enabled");
        if (enabled.empty())
            return bad("ftrace", "this kernel has none (CONFIG_DYNAMIC_FTRACE)",
                       "boot a kernel that has it, as all of Debian's do");
        if (enabled.starts_with('0'))
            return bad("ftrace", "is switched off", "sysctl kernel.ftrace_enabled=1");
        good("ftrace", "is there and switched on");
    }

    void module()
    {
        if (exists("/sys/module/lacuna"))
            return good("module", "lacuna is loaded");
        if (!is_built())
            return bad("module", "lacuna is not there for the running kernel",
                       "apt install lacuna-dkms and the headers of the running kernel; see dkms status");
        const std::string lockdown = text_of("/sys/kernel/security/lockdown");
        if (lockdown.find("[integrity]") != std::string::npos ||
            lockdown.find("[confidentiality]") != std::string::npos)
            return bad(
                "module", "lacuna is not loaded, and this kernel loads signed modules only",
                "enrol the key that DKMS signs with: mokutil --import /var/lib/dkms/mok.pub, then reboot");
        bad("module", "lacuna is not loaded", "modprobe lacuna; if that fails, dmesg says why");
    }

    // Whether modprobe finds the module.
    bool is_built() const
    {
        std::error_code error;
        for (const auto& entry :
             std::filesystem::recursive_directory_iterator(at("/lib/modules") / e_.kernel / "updates", error))
            if (entry.path().filename().string().starts_with("lacuna.ko"))
                return true;
        return false;
    }

    void configuration()
    {
        if (!exists(e_.config))
            return doubtful("configuration",
                            e_.config.string() + " is not there: no guest is learned from by itself",
                            "install the one of the package, see lacunad.toml(5)");
        try {
            config_ = load_config(at(e_.config));
        } catch (const Error& error) {
            return bad("configuration", error.what(),
                       "mend it; lacunactl check-config tells whether it is sound");
        }
        const auto doubts = doubts_about(config_);
        for (const std::string& doubt : doubts)
            doubtful("configuration", doubt, "see lacunad.toml(5)");
        if (config_.guests.empty())
            doubtful("configuration", "has no rule: no guest is learned from by itself",
                     "add a [[guest]], see lacunad.toml(5)");
        else if (doubts.empty())
            good("configuration", fmt::format("{}: {} rule(s)", e_.config.string(), config_.guests.size()));
    }

    void daemon()
    {
        try {
            ControlClient client(at(e_.socket));
            const Json status = client.request({{"command", "status"}});
            if (!status.value("ok", false))
                return bad("daemon", "answers: " + status.value("error", "?"), "journalctl -u lacunad");
            if (!status.at("module").get<bool>())
                return bad("daemon", "runs, but has no module to talk to",
                           "modprobe lacuna; see journalctl -u lacunad");
            good("daemon", fmt::format("runs, and knows of {} guest(s)", status.at("guests").size()));
        } catch (const Error& error) {
            bad("daemon", error.what(),
                e_.privileged ? "systemctl start lacunad; see journalctl -u lacunad" : "ask as root");
        } catch (const Json::exception&) {
            bad("daemon", "gives an answer that is not understood",
                "install daemon and lacunactl of the same version");
        }
    }

    void libvirt()
    {
        if (config_.libvirt.empty())
            return good("libvirt", "is not wanted: libvirt = \"\" in the configuration");
        if (exists("/run/libvirt/libvirt-sock-ro") || exists("/run/libvirt/virtqemud-sock-ro"))
            return good("libvirt", "is there (" + config_.libvirt + ")");
        doubtful(
            "libvirt", "its socket is not there: the disks of its guests are not read before they boot",
            "systemctl start libvirtd; if this host has no libvirt, set libvirt = \"\" and restart lacunad");
    }

    // A kernel for libguestfs' appliance, see supermin(1).
    void appliance()
    {
        std::error_code error;
        for (const auto& entry : std::filesystem::directory_iterator(at("/boot"), error))
            if (entry.path().filename().string().starts_with("vmlinuz"))
                return good("libguestfs", "finds a kernel in /boot for its appliance");
        doubtful("libguestfs", "finds no kernel in /boot: guests' disks cannot be read",
                 "install a kernel package, or set SUPERMIN_KERNEL and SUPERMIN_MODULES for lacunad, see "
                 "supermin(1)");
    }

    void store()
    {
        struct stat folder {};
        const auto guests = at(e_.store) / "guests";
        if (stat(at(e_.store).c_str(), &folder) != 0)
            return doubtful("store", e_.store.string() + " is not there",
                            "lacunad makes it when it starts: systemctl start lacunad");
        if (stat(guests.c_str(), &folder) == 0 && (folder.st_mode & 077))
            return bad("store",
                       (e_.store / "guests").string() +
                           " may be read by others, who learn from it where kernels lie",
                       fmt::format("chmod 700 {}", (e_.store / "guests").string()));
        std::error_code error;
        std::size_t profiles = 0;
        for (const auto& entry : std::filesystem::directory_iterator(at(e_.store) / "profiles", error))
            profiles += entry.path().extension() == ".json";
        if (error)
            return bad("store", "its profiles cannot be read: " + error.message(),
                       error != std::errc::permission_denied
                           ? "is this the store? The daemon makes its folders when it starts: systemctl "
                             "start lacunad"
                       : config_.group.empty() ? "ask as root"
                                               : "ask as root, or as a member of group " + config_.group);
        std::size_t contradicting = 0;
        for (const auto& entry : std::filesystem::directory_iterator(at(e_.store) / "contradicting", error))
            contradicting += entry.path().extension() == ".json";
        if (contradicting)
            doubtful(
                "store", fmt::format("{} profile(s) contradict the ones that are kept", contradicting),
                fmt::format("compare those in {} with their namesakes, and report it; remove the wrong ones",
                            (e_.store / "contradicting").string()));
        good("store", fmt::format("{}: {} profile(s)", e_.store.string(), profiles));
    }

    const Examination& e_;
    Config config_;
    std::vector<Finding> findings_;
};

const char* to_string(Finding::Verdict verdict)
{
    return verdict == Finding::good ? "good" : verdict == Finding::doubtful ? "doubtful" : "bad";
}

} // namespace

std::string running_kernel()
{
    utsname names{};
    uname(&names);
    return names.release;
}

std::vector<Finding> examine(const Examination& examination)
{
    return Doctor(examination).examine();
}

Json to_json(const std::vector<Finding>& findings)
{
    Json json = Json::array();
    for (const Finding& finding : findings)
        json.push_back({{"verdict", to_string(finding.verdict)},
                        {"subject", finding.subject},
                        {"found", finding.found},
                        {"advice", finding.advice}});
    return json;
}

} // namespace lacuna
