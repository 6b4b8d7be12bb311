/* A guest without an operating system, as a bzImage: real mode, long mode with all memory mapped one to one, C.
 *
 * Linux' boot protocol (Documentation/arch/x86/boot.rst, 2.12): a boot sector, one sector of real-mode code, and what is
 * loaded at 1 MiB. The second processor enters by the page at 0x8000, which the first one copies there.
 */
    .section .text, "ax"
    .code16
    .globl image
image:
    .org 0x1f1
    .byte 1                     /* setup_sects */
    .word 0
    .long paragraphs
    .word 0, 0, 0
    .word 0xaa55
    jmp begin
    .ascii "HdrS"
    .word 0x20c
    .org 0x211
    .byte 1                     /* LOADED_HIGH */
    .word 0
    .long 0x100000              /* code32_start */
    .org 0x22c
    .long 0x37ffffff            /* initrd_addr_max */
    .org 0x230
    .long 0x1000                /* kernel_alignment */
    .org 0x238
    .long 255                   /* cmdline_size */
    .org 0x258
    .quad 0x100000              /* pref_address */
    .long 0x100000              /* init_size */
    .org 0x270
begin:
    cli
    xorl %eax, %eax
    movw %ds, %ax
    shll $4, %eax
    leal (gdt - image)(%eax), %ebx
    movl %ebx, gdt_pointer - image + 2
    movl 0x228, %edi            /* the command line */
    lgdtl gdt_pointer - image
    movl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $0x100000
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
gdt_pointer:
    .word 31
    .long 0

    .org 0x400
body:                           /* at 1 MiB */
    .code32
    xorl %ebp, %ebp             /* the first processor */
protected:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x90000, %esp
    testl %ebp, %ebp
    jnz 2f
    movl $0x181007, 0x180000    /* one table of 1 GiB pages at 0x181000, its directory at 0x180000 */
    xorl %ecx, %ecx
1:  movl %ecx, %eax
    shll $30, %eax
    orl $0x87, %eax
    movl %ecx, %edx
    shrl $2, %edx
    movl %eax, 0x181000(,%ecx,8)
    movl %edx, 0x181004(,%ecx,8)
    incl %ecx
    cmpl $512, %ecx
    jne 1b
2:  movl $0x180000, %eax
    movl %eax, %cr3
    movl $0x40620, %eax         /* PAE, OSFXSR, OSXMMEXCPT, OSXSAVE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x100, %eax
    wrmsr
    movl $0x80000003, %eax      /* PG, MP, PE */
    movl %eax, %cr0
    ljmpl $24, $long_mode
    .code64
long_mode:
    xorl %ecx, %ecx
    movl $7, %eax
    xorl %edx, %edx
    xsetbv
    testl %ebp, %ebp
    jnz 3f
    movl $0x90000, %esp
    movl %edi, %edi
    call first
3:  movl $0x98000, %esp
    call second
4:  hlt
    jmp 4b

    .code16
    .globl trampoline, trampoline_end
trampoline:                     /* at 0x8000 */
    cli
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl 0x8000 + (ap_pointer - trampoline)
    movl $1, %eax
    movl %eax, %cr0
    movl $1, %ebp
    ljmpl $8, $protected
ap_pointer:
    .word 31
    .long 0x8000 + (ap_gdt - trampoline)
ap_gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
trampoline_end:
