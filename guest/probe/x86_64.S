# The smallest kernel that does what a Linux kernel does before its first line: leaves the firmware, switches to
# protected and to long mode with paging, writes a model-specific register, uses SSE, takes timer interrupts. Then it
# says so on the first serial port and ends the machine through isa-debug-exit.
#
# An accelerator under which firmware talks and this does not is no accelerator. Multiboot 1, so that `qemu -kernel`
# loads it; assembled by scripts/probe-kernel.sh into src/lima/adapters/qemu/probe_kernel.py.
	.equ BASE, 0x100000
	.equ PML4, 0x200000
	.equ IDT, 0x210000
	.equ STACK, 0x220000
	.equ SERIAL, 0x3f8
	.equ EXIT, 0x501

	.code32
	.globl _start
_start:
header:
	.long 0x1badb002		# multiboot magic
	.long 0x00010000		# the addresses below are valid
	.long -(0x1badb002 + 0x00010000)
	.long BASE			# where this header lies
	.long BASE			# load address
	.long 0				# load the whole file
	.long 0				# no bss
	.long BASE + (entry - header)

entry:
	cli
	mov $STACK, %esp
	# page tables: one gigabyte mapped to itself in pages of two megabytes
	mov $PML4, %edi
	xor %eax, %eax
	mov $0x3000 / 4, %ecx
	rep stosl
	movl $(PML4 + 0x1003), PML4
	movl $(PML4 + 0x2003), PML4 + 0x1000
	mov $PML4 + 0x2000, %edi
	mov $0x83, %eax
	mov $512, %ecx
1:	mov %eax, (%edi)
	add $0x200000, %eax
	add $8, %edi
	loop 1b
	# long mode: PAE, EFER.LME, paging
	mov %cr4, %eax
	or $(1 << 5 | 1 << 9 | 1 << 10), %eax
	mov %eax, %cr4
	mov $PML4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $(1 << 8), %eax
	wrmsr
	mov %cr0, %eax
	and $~(1 << 2), %eax
	or $(1 << 31 | 1 << 1), %eax
	mov %eax, %cr0
	lgdt gdt_pointer - header + BASE
	ljmp $8, $(long_mode - header + BASE)

	.code64
long_mode:
	mov $16, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov $STACK, %rsp
	# SSE, as every kernel and program uses it
	cvtsi2sd %rsp, %xmm0
	mulsd %xmm0, %xmm0
	# an interrupt table of 256 gates that all lead to the timer's handler
	mov $IDT, %edi
	mov $256, %ecx
	lea handler(%rip), %rax
2:	mov %ax, (%rdi)
	movw $8, 2(%rdi)
	movw $0x8e00, 4(%rdi)
	mov %rax, %rdx
	shr $16, %rdx
	mov %dx, 6(%rdi)
	movq $0, 8(%rdi)
	add $16, %rdi
	loop 2b
	lidt idt_pointer(%rip)
	# the interrupt controller, vectors from 32 on, the timer alone unmasked
	mov $0x11, %al
	out %al, $0x20
	mov $0x20, %al
	out %al, $0x21
	mov $0x04, %al
	out %al, $0x21
	mov $0x01, %al
	out %al, $0x21
	mov $0xfe, %al
	out %al, $0x21
	# the timer, a thousand times a second
	mov $0x34, %al
	out %al, $0x43
	mov $(1193 & 0xff), %al
	out %al, $0x40
	mov $(1193 >> 8), %al
	out %al, $0x40
	xor %ebx, %ebx
	sti
3:	hlt
	cmp $5, %ebx
	jb 3b
	cli
	# say so
	lea message(%rip), %rsi
4:	lodsb
	test %al, %al
	jz 6f
	mov %al, %ah
	mov $SERIAL + 5, %dx
5:	in %dx, %al
	test $0x20, %al
	jz 5b
	mov $SERIAL, %dx
	mov %ah, %al
	out %al, %dx
	jmp 4b
6:
mode:	nop				# a variant for tests writes a two-byte jump to itself here: it runs for ever
	nop
	mov $EXIT, %dx
	mov $1, %eax
	out %eax, %dx
7:	hlt
	jmp 7b

handler:
	push %rax
	inc %ebx
	mov $0x20, %al
	out %al, $0x20
	pop %rax
	iretq

message:
	.asciz "lima: a kernel runs here\n"

	.align 8
gdt:
	.quad 0
	.quad 0x00209a0000000000	# code, 64 bit
	.quad 0x0000920000000000	# data
gdt_pointer:
	.word gdt_pointer - gdt - 1
	.long gdt - header + BASE
	.align 8
idt_pointer:
	.word 256 * 16 - 1
	.quad IDT
