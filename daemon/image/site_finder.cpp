// SPDX-License-Identifier: GPL-2.0-or-later
#include "site_finder.h"

#include <algorithm>
#include <set>
#include <vector>

#include "error.h"
#include "instruction.h"

namespace lacuna {

namespace {

bool is_control_transfer(const Instruction& instruction)
{
    switch (instruction.decoded.meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_COND_BR:
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_RET:
    case ZYDIS_CATEGORY_INTERRUPT:
    case ZYDIS_CATEGORY_SYSCALL:
    case ZYDIS_CATEGORY_SYSRET:
    case ZYDIS_CATEGORY_SYSTEM:
        return true;
    default:
        return instruction.decoded.mnemonic == ZYDIS_MNEMONIC_UD0 ||
               instruction.decoded.mnemonic == ZYDIS_MNEMONIC_UD1 ||
               instruction.decoded.mnemonic == ZYDIS_MNEMONIC_UD2;
    }
}

bool writes(const Instruction& instruction, ZydisRegister wide)
{
    const ZydisMachineMode mode = instruction.decoded.machine_mode;
    for (unsigned i = 0; i < instruction.decoded.operand_count; ++i) {
        const auto& operand = instruction.operands[i];
        if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
            (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0 &&
            ZydisRegisterGetLargestEnclosing(mode, operand.reg.value) == wide)
            return true;
    }
    return false;
}

bool reads(const Instruction& instruction, ZydisRegister wide)
{
    const ZydisMachineMode mode = instruction.decoded.machine_mode;
    const auto is_it = [&](ZydisRegister reg) { return ZydisRegisterGetLargestEnclosing(mode, reg) == wide; };
    for (unsigned i = 0; i < instruction.decoded.operand_count; ++i) {
        const auto& operand = instruction.operands[i];
        if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
            (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0 && is_it(operand.reg.value))
            return true;
        if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY && (is_it(operand.mem.base) || is_it(operand.mem.index)))
            return true;
    }
    return false;
}

bool is_general_register(const ZydisDecodedOperand& operand)
{
    if (operand.type != ZYDIS_OPERAND_TYPE_REGISTER)
        return false;
    const ZydisRegisterClass kind = ZydisRegisterGetClass(operand.reg.value);
    return kind == ZYDIS_REGCLASS_GPR32 || kind == ZYDIS_REGCLASS_GPR64;
}

bool is_stack_pointer(ZydisRegister reg)
{
    return reg == ZYDIS_REGISTER_RSP || reg == ZYDIS_REGISTER_ESP;
}

// Instructions that may be displaced: the emulator of every KVM knows them (arch/x86/kvm/emulate.c,
// opcode_table), and of memory they reach nothing but what PUSH writes. The module takes no others
// (kmod/displaced.c), and refuses all of a guest's kernels for a single one.
bool may_be_displaced(const Instruction& instruction)
{
    // No prefix but REX: no gs:, no lock, no operand-size games.
    for (unsigned i = 0; i < instruction.decoded.raw.prefix_count; ++i) {
        const std::uint8_t prefix = instruction.decoded.raw.prefixes[i].value;
        if (prefix < 0x40 || prefix > 0x4f)
            return false;
    }
    if (instruction.visible() == 0)
        return false;
    const auto& first = instruction.operands[0];
    const auto& second = instruction.operands[1];
    const bool from_immediate = instruction.visible() == 2 && second.type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    switch (instruction.decoded.mnemonic) {
    case ZYDIS_MNEMONIC_PUSH:
        return is_general_register(first);
    case ZYDIS_MNEMONIC_MOV:
        return is_general_register(first) && (is_general_register(second) || from_immediate);
    case ZYDIS_MNEMONIC_SUB:
    case ZYDIS_MNEMONIC_ADD:
    case ZYDIS_MNEMONIC_AND:
        return is_general_register(first) && is_stack_pointer(first.reg.value) && from_immediate;
    case ZYDIS_MNEMONIC_XOR:
        return is_general_register(first) && is_general_register(second) &&
               first.reg.value == second.reg.value;
    case ZYDIS_MNEMONIC_LEA:
        return is_general_register(first) && second.type == ZYDIS_OPERAND_TYPE_MEMORY &&
               second.mem.base != ZYDIS_REGISTER_RIP && second.mem.base != ZYDIS_REGISTER_EIP;
    default:
        return false;
    }
}

// Where all direct jumps and calls between two addresses lead.
void collect_targets(const Decoder& decoder, std::uint64_t from, std::uint64_t to,
                     std::set<std::uint64_t>& targets)
{
    for (const Instruction& instruction : decoder.between(from, to))
        if (const auto target = instruction.direct_target())
            targets.insert(*target);
}

// Does an operand name a place in the image? What is relative to RIP is taken for one as well: no harm is
// done.
bool holds_address(const Instruction& instruction, const ElfImage& elf)
{
    for (const std::uint64_t address : instruction.addresses())
        for (const ElfImage::Segment& segment : elf.segments())
            if (segment.address && address >= segment.address &&
                address - segment.address < segment.memory_size)
                return true;
    return false;
}

// Is the instruction one that the kernel replaces at boot? An entry of .altinstructions starts with the
// distance from itself to the instruction. Entries differ in size over the versions, so every byte is taken
// for a start: what is found too much costs a site at most.
bool is_alternative(const ElfImage& elf, std::uint64_t address)
{
    const auto* table = elf.section(".altinstructions");
    if (!table)
        return false;
    for (std::uint64_t at = 0; at + 4 <= table->data.size(); ++at)
        if (static_cast<std::uint32_t>(*load<std::int32_t>(table->data, at)) ==
            static_cast<std::uint32_t>(address - table->address - at))
            return true;
    return false;
}

struct Step {
    Instruction instruction;
    bool displaceable;
    bool argument_intact; // before this instruction runs
    bool changes;         // at run time: it holds an address that KASLR may move, or a LOCK prefix
};

// The instructions from the entry on that are always executed, and cannot be changed by the kernel's own
// patching.
std::vector<Step> straight_line(const Decoder& decoder, const ElfImage& elf, const Symbols& symbols,
                                std::uint64_t entry, std::uint64_t end)
{
    constexpr unsigned enough = 64;
    constexpr unsigned ftrace_size = 5;
    const bool is_64bit = elf.architecture() == Architecture::x86_64;
    const ZydisRegister argument = is_64bit ? ZYDIS_REGISTER_RDI : ZYDIS_REGISTER_EAX; // i386: regparm(3)
    const auto fentry = symbols.find("__fentry__");
    const auto mcount = symbols.find("mcount"); // with -pg only: called behind the frame's set-up
    std::vector<Step> steps;
    bool intact = true;
    bool at_entry = true;
    for (std::uint64_t at = entry; at < end && steps.size() < enough;) {
        const auto instruction = decoder.at(at);
        if (!instruction)
            break;
        at = instruction->next();
        const auto mnemonic = instruction->decoded.mnemonic;
        if (at_entry && (mnemonic == ZYDIS_MNEMONIC_ENDBR64 || mnemonic == ZYDIS_MNEMONIC_ENDBR32))
            continue;
        // objtool may have made the ftrace call a NOP already.
        if (at_entry && mnemonic == ZYDIS_MNEMONIC_NOP && instruction->decoded.length == ftrace_size) {
            at_entry = false;
            continue;
        }
        if (mnemonic == ZYDIS_MNEMONIC_CALL && instruction->decoded.length == ftrace_size) {
            const auto target = instruction->direct_target();
            if (target && ((at_entry && target == fentry) || target == mcount)) {
                at_entry = false;
                continue;
            }
        }
        at_entry = false;
        // A NOP may be a static branch that becomes a jump.
        if (is_control_transfer(*instruction) || mnemonic == ZYDIS_MNEMONIC_NOP ||
            is_alternative(elf, instruction->address))
            break;
        // With one CPU the kernel makes other prefixes of its LOCKs (.smp_locks).
        const bool changes = holds_address(*instruction, elf) ||
                             (instruction->decoded.attributes & ZYDIS_ATTRIB_HAS_LOCK) != 0;
        steps.push_back({*instruction, !changes && may_be_displaced(*instruction), intact, changes});
        intact = intact && !writes(*instruction, argument);
    }
    return steps;
}

// Whether an i386 function takes its first argument in EAX (CONFIG_REGPARM, which all have from 2.6.20 on) or from the
// stack: it reads EAX before it writes it, or not. Nothing where it does neither before it calls or jumps.
std::optional<bool> takes_register(const Decoder& decoder, const Symbols& symbols, std::uint64_t entry,
                                   std::uint64_t end)
{
    constexpr unsigned enough = 64;
    const auto fentry = symbols.find("__fentry__");
    const auto mcount = symbols.find("mcount");
    unsigned seen = 0;
    for (std::uint64_t at = entry; at < end && seen < enough; ++seen) {
        const auto instruction = decoder.at(at);
        if (!instruction)
            return std::nullopt;
        at = instruction->next();
        const auto target = instruction->direct_target();
        if (instruction->decoded.mnemonic == ZYDIS_MNEMONIC_CALL && target &&
            (target == fentry || target == mcount))
            continue;
        // What is saved or made 0 is not read for its value.
        const auto& first = instruction->operands[0];
        const bool same = instruction->decoded.mnemonic == ZYDIS_MNEMONIC_XOR &&
                          first.type == ZYDIS_OPERAND_TYPE_REGISTER &&
                          instruction->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
                          first.reg.value == instruction->operands[1].reg.value;
        const bool read = instruction->decoded.mnemonic != ZYDIS_MNEMONIC_PUSH && !same &&
                          reads(*instruction, ZYDIS_REGISTER_EAX);
        if (read)
            return true;
        if (writes(*instruction, ZYDIS_REGISTER_EAX))
            return false;
        if (is_control_transfer(*instruction))
            return std::nullopt;
    }
    return std::nullopt;
}

// How many bytes from a step on are the same at run time: straight-line code that the kernel does not patch.
std::uint64_t unchanged_from(const std::vector<Step>& steps, std::size_t first)
{
    constexpr std::uint64_t most = 16;
    const std::uint64_t start = steps[first].instruction.address;
    std::uint64_t end = start;
    for (std::size_t i = first; i < steps.size() && steps[i].instruction.address == end && !steps[i].changes;
         ++i)
        end = steps[i].instruction.next();
    return std::min(end - start, most);
}

} // namespace

std::optional<TrapSite> find_site(const ElfImage& elf, const Symbols& symbols, const std::string& function,
                                  SiteKind kind)
{
    const auto entry = symbols.find(function);
    if (!entry || elf.read_up_to(*entry, 1).empty())
        throw Error("the code of " + function + " is not in the image", symbols.source(),
                    "give the complete kernel image the guest boots");
    const Decoder decoder(elf);
    if (asks_argument(kind) && elf.architecture() == Architecture::i386 &&
        takes_register(decoder, symbols, *entry, symbols.end_of(*entry)) != true)
        throw Error("takes its arguments from the stack, or it cannot be told that it does not", function,
                    "kernels for i386 that were built without CONFIG_REGPARM are not supported");
    const auto steps = straight_line(decoder, elf, symbols, *entry, symbols.end_of(*entry));

    // Strict on purpose: a jump back to the site itself would make it a loop, with the argument changed
    // meanwhile.
    std::set<std::uint64_t> targets;
    collect_targets(decoder, *entry, symbols.end_of(*entry), targets);
    for (const Symbol& symbol : symbols.all())
        if (symbol.name.starts_with(function + ".cold")) // gcc moves unlikely code out: it jumps back
            collect_targets(decoder, symbol.address, symbols.end_of(symbol.address), targets);

    std::optional<TrapSite> best;
    for (std::size_t first = 0; first < steps.size(); ++first) {
        const std::uint64_t address = steps[first].instruction.address;
        if (asks_argument(kind) && !steps[first].argument_intact)
            break;
        if (address % 8 > 8 - trap_size)
            continue;
        TrapSite site{kind, function, address, {}, {}, false};
        std::uint64_t displaced = 0;
        bool good = true;
        for (std::size_t i = first; displaced < trap_size && good; ++i) {
            good = i < steps.size() && steps[i].displaceable &&
                   steps[i].instruction.address == address + displaced; // an mcount call may stand between
            if (good) {
                displaced += steps[i].instruction.decoded.length;
                site.lengths.push_back(steps[i].instruction.decoded.length);
            }
        }
        const auto target = targets.lower_bound(address);
        if (!good || (target != targets.end() && *target < address + displaced))
            continue;
        site.single = site.lengths.size() == 1;
        if (!best || (site.single && !best->single)) {
            const ByteView bytes = elf.read_up_to(address, std::max(displaced, unchanged_from(steps, first)));
            site.bytes.assign(bytes.begin(), bytes.end());
            best = std::move(site);
        }
    }
    return best;
}

} // namespace lacuna
