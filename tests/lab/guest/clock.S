/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A boot sector that is no Linux and measures as kernels do when they start, at an address where Linux has its kernel: between two
 * interrupts of a timer (the PIT, PERIOD of its ticks apart) it counts what it gets done, and how far the TSC and the APIC's timer
 * get. Each interrupt executes CPUID, and so has Lacuna look for a kernel some times, and where one could be there is memory everywhere. Of SAMPLES such periods it tells in a line,
 * of each the three numbers, in hexadecimal.
 */
#include "long-mode.h"

#define PERIOD 11932 /* 10 ms: the PIT counts at 1.193182 MHz */
#define SAMPLES 16
#define CPUIDS 8
#define COM1 0x3f8
#define PIC_DATA 0x21
#define PIC 0x20
#define PIT_CONTROL 0x43
#define PIT 0x40
#define TIMER_VECTOR 8 /* where the BIOS has the first interrupt of the PIC */
/* MSRs: Intel SDM vol. 3, table "Local APIC Register Address Map Supported by x2APIC" */
#define APIC_BASE 0x1b
#define APIC_X2APIC 0xc00
#define APIC_INITIAL 0x838
#define APIC_CURRENT 0x839
#define APIC_DIVIDE 0x83e
#define APIC_BY_16 3

#define IDT 0x4000
#define NUMBERS 0x5000

	begin_boot_sector
	enter_long_mode

	.code64
long_mode:
	mov $HIGH_HALF_START + high_half, %rax
	jmp *%rax
high_half:
	mov $PD, %edi /* the same 2 MiB for all of the first gigabyte */
	mov $0x83, %eax
	mov $512, %ecx
	rep stosq
	movw $tick, IDT + TIMER_VECTOR * 16
	movl $0x80008e00, IDT + TIMER_VECTOR * 16 + 4 /* interrupt gate; bits 16 to 31 of HIGH_HALF_START */
	movl $-1, IDT + TIMER_VECTOR * 16 + 8
	movb $8, IDT + TIMER_VECTOR * 16 + 2
	lidt idt_pointer
	mov $0xfe, %al
	out %al, $PIC_DATA
	mov $0x34, %al /* counter 0, both bytes, rate generator */
	out %al, $PIT_CONTROL
	mov $PERIOD & 0xff, %al
	out %al, $PIT
	mov $PERIOD >> 8, %al
	out %al, $PIT
	mov $APIC_BASE, %ecx
	rdmsr
	or $APIC_X2APIC >> 8, %ah
	wrmsr
	xor %edx, %edx
	mov $APIC_DIVIDE, %ecx
	mov $APIC_BY_16, %eax
	wrmsr
	sti

line:
	mov $APIC_INITIAL, %ecx
	xor %edx, %edx
	mov $-1, %eax
	wrmsr
	mov $NUMBERS, %edi
	mov $SAMPLES, %r8d
	call next_tick
sample:
	rdtsc
	mov %eax, %esi
	mov $APIC_CURRENT, %ecx
	rdmsr
	mov %eax, %r9d
	call next_tick
	mov %ebp, %eax
	stosl
	rdtsc
	sub %esi, %eax
	stosl
	mov $APIC_CURRENT, %ecx
	rdmsr
	sub %eax, %r9d
	mov %r9d, %eax
	stosl
	dec %r8d
	jnz sample

	mov $COM1, %edx
	mov $text, %esi
letter:
	lodsb
	test %al, %al
	jz numbers
	out %al, %dx
	jmp letter
numbers:
	mov $NUMBERS, %esi
	mov $3 * SAMPLES, %r8d
number:
	mov $' ', %al
	out %al, %dx
	lodsl
	mov %eax, %ebp
	mov $8, %ecx
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
	dec %r8d
	jnz number
	mov $'\n', %al
	out %al, %dx
	jmp line

/* Returns at the next tick, how often it has gone round in EBP. */
next_tick:
	xor %ebp, %ebp
	mov ticks, %ebx
round:
	inc %ebp
	cmp %ebx, ticks
	je round
	ret

tick:
	push %rax
	push %rbx
	push %rcx
	push %rdx
	incl ticks
	mov $0x20, %al /* end of interrupt */
	out %al, $PIC
	push %rdi
	mov $CPUIDS, %edi
exits:
	xor %eax, %eax
	cpuid
	dec %edi
	jnz exits
	pop %rdi
	pop %rdx
	pop %rcx
	pop %rbx
	pop %rax
	iretq

text:
	.asciz "LACUNA-CLOCK"
ticks:
	.long 0
idt_pointer:
	.word 0xfff
	.quad IDT
	long_mode_gdt

	.org 510
	.word 0xaa55
