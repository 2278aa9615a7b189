// SPDX-License-Identifier: GPL-2.0-or-later
// The command line of somebody's VMM, and a domain of libvirt's.
#include "domain.h"
#include "error.h"
#include "harness.h"
#include "names.h"
#include "vmm_process.h"

namespace lacuna::fuzz {

namespace {

void run(ByteView input)
{
    const std::string text(input.begin(), input.end());
    std::vector<std::string> arguments;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\0', at), text.size());
        arguments.push_back(text.substr(at, end - at));
        at = end + 1;
    }
    const VmmProcess vmm = describe_vmm(7, arguments, "/srv");
    static_cast<void>(file_name(vmm.name));
    static_cast<void>(printable(vmm.command));
    try {
        parse_domain(text, "fuzz");
    } catch (const Error&) {
    }
}

std::vector<Seed> seeds()
{
    using namespace std::string_view_literals;
    return {
        seed("drive", "qemu\0-name\0guest=db,x=y\0-uuid\0" "1-2\0-kernel\0vmlinuz\0-drive\0file=a,,b.qcow2,format=qcow2,if=virtio\0-hda\0x"sv),
        seed("blockdev", "qemu\0-blockdev\0driver=file,node-name=f,filename=/a\0-blockdev\0driver=qcow2,node-name=q,file=f\0-device\0virtio-blk,drive=q"sv),
        seed("nested", "qemu\0-blockdev\0driver=raw,node-name=q,file.driver=file,file.filename=/a\0-device\0scsi-hd,drive=q"sv),
        seed("json", "qemu\0-blockdev\0{\"driver\":\"qcow2\",\"node-name\":\"q\",\"file\":{\"driver\":\"file\",\"filename\":\"/a\"}}\0-device\0{\"driver\":\"virtio-blk-pci\",\"drive\":\"q\"}"sv),
        seed("domain", "<domain><name>a</name><uuid>1</uuid><os><kernel>/k</kernel></os><devices><disk type='file' device='disk'><driver type='qcow2'/><source file='/a'/></disk><disk type='volume'><source pool='p' volume='v'/></disk></devices></domain>"sv)};
}

} // namespace

const Harness command_line = {"command_line", run, seeds, 4096};

} // namespace lacuna::fuzz
