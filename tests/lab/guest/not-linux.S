/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that is no Linux: executes CPUID for ever, each an exit that Lacuna looks at while it waits for a kernel,
 * and says so on the serial port now and then. In real mode like a firmware, or, with HIGH_HALF, in long mode at an address
 * where Linux has its kernel.
 */
#include "long-mode.h"

#define ROUNDS 256
#define COM1 0x3f8

	begin_boot_sector
#ifdef HIGH_HALF
	enter_long_mode
	.code64
long_mode:
	mov $HIGH_HALF_START + loop, %rax
	jmp *%rax
#endif

loop:
	mov $ROUNDS, %edi
again:
	xor %eax, %eax
	cpuid
	dec %edi
	jnz again
	mov $text, %esi
	mov $COM1, %edx
next:
#ifdef HIGH_HALF
	lodsb (%rsi), %al
#else
	lodsb
#endif
	test %al, %al
	jz loop
	out %al, %dx
	jmp next

text:
	.asciz "LACUNA-OTHER alive\n"

#ifdef HIGH_HALF
	long_mode_gdt
#endif

	.org 510
	.word 0xaa55
