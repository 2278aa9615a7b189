/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that is no Linux: executes CPUID for ever, each an exit that Lacuna looks at while it waits for a kernel,
 * and says so on the serial port now and then. In real mode like a firmware, or, with HIGH_HALF, in long mode at an address
 * where Linux has its kernel.
 */
#define PML4 0x1000
#define PDPT 0x2000
#define PD 0x3000
#define ROUNDS 256
#define COM1 0x3f8

	.code16
	.globl _start
_start:
	cli
	cld
	xor %ax, %ax
	mov %ax, %ds
	mov %ax, %es
	mov %ax, %ss
	mov $0x7c00, %sp
	ljmp $0, $here
here:
#ifdef HIGH_HALF
	/* the first 2 MiB at 0 and at 0xffffffff80000000 */
	mov $PML4, %di
	mov $0x1800, %cx
	rep stosw
	movl $PDPT + 3, PML4
	movl $PDPT + 3, PML4 + 511 * 8
	movl $PD + 3, PDPT
	movl $PD + 3, PDPT + 510 * 8
	movl $0x83, PD
	mov %cr4, %eax
	or $0x20, %eax /* PAE */
	mov %eax, %cr4
	mov $PML4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx /* EFER */
	rdmsr
	or $0x100, %eax /* LME */
	wrmsr
	lgdt gdt_pointer
	mov %cr0, %eax
	or $0x80000001, %eax /* PG, PE */
	mov %eax, %cr0
	ljmp $8, $long_mode
	.code64
long_mode:
	mov $0xffffffff80000000 + loop, %rax
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

	.balign 8
gdt:
	.quad 0
	.quad 0x00209a0000000000 /* code, 64 bit */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt

	.org 510
	.word 0xaa55
