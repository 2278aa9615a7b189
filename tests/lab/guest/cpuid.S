/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that is no Linux: measures what CPUID, which always is an exit, takes, and says so on the serial port: the fewest
 * cycles of any of ROUNDS batches, for a batch, in hexadecimal.
 */
#define BATCH 16 /* labkit/scenarios.py knows it, too */
#define ROUNDS 512
#define COM1 0x3f8

	.code16
	.globl _start
_start:
	cli
	cld
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %ss
	mov $0x7c00, %sp
	ljmp $0, $here
here:

begin:
	mov $-1, %ebp
	mov $ROUNDS, %edi
again:
	rdtsc
	mov %eax, %esi
	.rept BATCH
	xor %eax, %eax
	cpuid
	.endr
	rdtsc
	sub %esi, %eax
	cmp %ebp, %eax
	jae longer
	mov %eax, %ebp
longer:
	dec %edi
	jnz again

	mov $COM1, %dx
	mov $text, %si
next:
	lodsb
	test %al, %al
	jz number
	out %al, %dx
	jmp next
number:
	mov $8, %cx
digit:
	rol $4, %ebp
	mov %ebp, %eax
	and $15, %al
	add $'0', %al
	cmp $'9', %al
	jbe decimal
	add $'a' - '9' - 1, %al
decimal:
	out %al, %dx
	loop digit
	mov $'\n', %al
	out %al, %dx
	jmp begin

text:
	.asciz "LACUNA-CPUID "

	.org 510
	.word 0xaa55
