/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The beginning of a boot sector, in real mode; and from there to long mode: the first 2 MiB of memory are at 0 and where Linux has its kernel. Goes
 * on at `long_mode`, in the lower half; memory from TABLES to TABLES_END is cleared and used, DI, CX, AX are anybody's.
 */
#define TABLES 0x1000
#define PML4 TABLES
#define PDPT 0x2000
#define PD 0x3000
#define TABLES_END 0x6000
#define HIGH_HALF_START 0xffffffff80000000

/* All segments at 0, the stack below, whatever the BIOS has left. */
.macro begin_boot_sector
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
.endm

.macro enter_long_mode
	.code16
	mov $TABLES, %di
	mov $(TABLES_END - TABLES) / 2, %cx
	xor %ax, %ax
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
.endm

.macro long_mode_gdt
	.balign 8
gdt:
	.quad 0
	.quad 0x00209a0000000000 /* code, 64 bit */
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt
.endm
