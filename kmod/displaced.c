// SPDX-License-Identifier: GPL-2.0-only
#include "displaced.h"

#define REX_W 8
#define REX_R 4
#define REX_B 1

#define STACK_POINTER 4
#define SIB_FOLLOWS 4 /* as r/m, of memory */
#define NO_REGISTER 5 /* as r/m of memory, or as the base of a SIB byte, where mod is 0: 4 bytes of displacement */

struct modrm {
	__u8 mod, reg, rm; /* without the bits in REX */
};

static struct modrm split(__u8 byte)
{
	return (struct modrm){ .mod = byte >> 6, .reg = byte >> 3 & 7, .rm = byte & 7 };
}

static bool is_add_and_sub(__u8 reg)
{
	return reg == 0 || reg == 4 || reg == 5;
}

/* LEA reads nothing, but where RIP is, in 64-bit code, cannot be said by who emulates from a buffer elsewhere. */
static __u32 lea_length(const __u8 *at, __u32 left, bool is_64bit)
{
	struct modrm m = split(at[1]);
	bool sib = m.rm == SIB_FOLLOWS;
	__u32 length = 2 + sib;

	if (m.mod == 3 || left < length || (is_64bit && m.mod == 0 && m.rm == NO_REGISTER))
		return 0;
	if (m.mod == 1)
		return length + 1;
	if (m.mod == 2 || m.rm == NO_REGISTER || (sib && (at[2] & 7) == NO_REGISTER))
		return length + 4;
	return length;
}

/* With a ModRM byte: how long it is from its opcode on; 0: it is none of those. */
static __u32 length_with_modrm(const __u8 *at, __u32 left, __u8 rex, bool is_64bit)
{
	struct modrm m = split(at[1]);

	if (at[0] == 0x8d)
		return lea_length(at, left, is_64bit);
	if (m.mod != 3)
		return 0;
	switch (at[0]) {
	case 0x89: /* MOV between registers */
	case 0x8b:
		return 2;
	case 0x31: /* XOR of a register with itself */
	case 0x33:
		return m.reg == m.rm && !(rex & REX_R) == !(rex & REX_B) ? 2 : 0;
	case 0x81: /* ADD, AND, SUB of a constant and the stack pointer */
		return is_add_and_sub(m.reg) && m.rm == STACK_POINTER && !(rex & REX_B) ? 6 : 0;
	case 0x83:
		return is_add_and_sub(m.reg) && m.rm == STACK_POINTER && !(rex & REX_B) ? 3 : 0;
	case 0xc7: /* MOV of a constant */
		return m.reg == 0 ? 6 : 0;
	}
	return 0;
}

bool lac_may_be_displaced(const __u8 *bytes, __u32 length, bool is_64bit)
{
	__u8 rex = is_64bit && length && bytes[0] >> 4 == 4 ? bytes[0] : 0;
	const __u8 *at = bytes + !!rex;
	__u32 left = length - !!rex;

	if (!left)
		return false;
	switch (at[0] & 0xf8) {
	case 0x50: /* PUSH */
		return left == 1;
	case 0xb8: /* MOV of a constant */
		return left == (rex & REX_W ? 9 : 5);
	}
	return left > 1 && left == length_with_modrm(at, left, rex, is_64bit);
}
