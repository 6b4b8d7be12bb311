/* What a guest may do to persistent memory, a case behind each mark. The test beside it says what the trace must hold. */
#include <stdint.h>

typedef volatile uint64_t *words;
static uint64_t pmem, mailbox;
static volatile int second_runs, second_done;
extern char trampoline[], trampoline_end[];

static void out8(uint16_t port, uint8_t value) { __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"(port)); }
static void out16(uint16_t port, uint16_t value) { __asm__ volatile("outw %0, %1" ::"a"(value), "Nd"(port)); }
static void mark(uint8_t number) { out8(0x504, number); }
static words at(uint64_t offset) { return (words)(pmem + offset); }
static void clwb(uint64_t a) { __asm__ volatile("clwb (%0)" ::"r"(a) : "memory"); }
static void sfence(void) { __asm__ volatile("sfence" ::: "memory"); }

static uint64_t number_of(const char *line, char name) {
  uint64_t value = 0;
  for (; *line; line++)
    if (line[0] == name && line[1] == '=' && line[2] == '0') {
      for (line += 4; (*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f'); line++)
        value = value << 4 | (*line <= '9' ? *line - '0' : *line - 'a' + 10);
      return value;
    }
  return 0;
}

static uint8_t area[4096] __attribute__((aligned(64)));

void first(const char *line) {
  pmem = number_of(line, 'P');
  mailbox = number_of(line, 'M');

  mark(1); /* sizes */
  *(volatile uint8_t *)(pmem + 1) = 0x11;
  *(volatile uint16_t *)(pmem + 2) = 0x2222;
  *(volatile uint32_t *)(pmem + 4) = 0x33333333;
  *at(8) = 0x4444444444444444;

  mark(2); /* unaligned, over a line, over a page */
  *at(0x103) = 0x0807060504030201;
  *at(0x13c) = 0x1817161514131211;
  *at(0xffc) = 0x2827262524232221;

  mark(3); /* rep movsb, rep stosq */
  for (int i = 0; i < 100; i++) area[i] = i;
  {
    uint64_t to = pmem + 0x2001, from = (uint64_t)area, count = 100;
    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count)::"memory");
    to = pmem + 0x2100, count = 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0x5555555555555555) : "memory");
  }

  mark(4); /* SSE and AVX */
  {
    uint64_t a = pmem + 0x3000;
    __asm__ volatile("movdqa (%1), %%xmm0; movaps %%xmm0, (%0); movdqu %%xmm0, 0x21(%0)" ::"r"(a), "r"(area) : "memory");
    __asm__ volatile("vmovdqa (%1), %%ymm0; vmovdqa %%ymm0, 0x40(%0)" ::"r"(a), "r"(area) : "memory");
    __asm__ volatile("movntdq %%xmm0, 0x80(%0); vmovntdq %%ymm0, 0xa0(%0)" ::"r"(a) : "memory");
    __asm__ volatile("movnti %1, 0xc0(%0)" ::"r"(a), "r"(0x6666666666666666) : "memory");
  }

  mark(5); /* xsave, fxsave: they store what differs from zeros that are there */
  __asm__ volatile("movdqa (%0), %%xmm0; movdqa (%0), %%xmm7" ::"r"(area));
  __asm__ volatile("xsave64 (%0)" ::"r"(pmem + 0x4000), "a"(7), "d"(0) : "memory");
  __asm__ volatile("fxsave64 (%0)" ::"r"(pmem + 0x5000) : "memory");

  mark(6); /* locked: aligned, over a line, and an exchange */
  __asm__ volatile("lock incq (%0)" ::"r"(pmem + 0x6000) : "memory");
  __asm__ volatile("lock cmpxchg16b (%0)" ::"r"(pmem + 0x6010), "a"(0), "d"(0), "b"(7), "c"(8) : "memory");
  { uint64_t value = 9; __asm__ volatile("xchg %0, (%1)" : "+r"(value) : "r"(pmem + 0x6020) : "memory"); }

  mark(7); /* every write-back, every way to say where */
  {
    uint64_t base = pmem + 0x7000, index = 0x10;
    *at(0x7000) = 1;
    clwb(base);
    sfence();
    *at(0x7040) = 1;
    __asm__ volatile("clflushopt 0x40(%0)" ::"r"(base) : "memory");
    __asm__ volatile("mfence" ::: "memory");
    *at(0x7080) = 1;
    __asm__ volatile("clflush (%0,%1,8)" ::"r"(base), "r"(index) : "memory");
    *at(0x70c0) = 1;
    __asm__ volatile("clwb 0x1c0(%0,%1)" ::"r"(base - 0x110), "r"(index) : "memory");
    __asm__ volatile("lock orl $0, (%0)" ::"r"(area) : "memory");
  }

  mark(8); /* self-modifying code: the same place stores, then stores elsewhere */
  {
    static uint8_t code[64] __attribute__((aligned(64)));
    const uint8_t store[] = {0x48, 0x89, 0x37, 0xc3}; /* mov %rsi, (%rdi); ret */
    const uint8_t write_back[] = {0x66, 0x0f, 0xae, 0x37, 0xc3}; /* clwb (%rdi); ret */
    for (unsigned i = 0; i < sizeof store; i++) ((volatile uint8_t *)code)[i] = store[i];
    __asm__ volatile("call *%0" ::"r"(code), "D"(pmem + 0x8000), "S"(0x77) : "memory");
    for (unsigned i = 0; i < sizeof write_back; i++) ((volatile uint8_t *)code)[i] = write_back[i];
    __asm__ volatile("call *%0" ::"r"(code), "D"(pmem + 0x8000) : "memory");
    sfence();
  }

  mark(9); /* a page is mapped elsewhere between a store and its write-back: what is mapped then counts */
  {
    words window = (words)0x8000000000, pages = (words)0x184000; /* at 512 GiB */
    *(words)0x183000 = 0x184007;
    *(words)0x182000 = 0x183007;
    *(words)0x180008 = 0x182007;
    pages[0] = (pmem + 0x9000) | 7;
    window[0] = 1;
    pages[0] = (pmem + 0xa000) | 7;
    __asm__ volatile("invlpg (%0)" ::"r"(window) : "memory");
    clwb((uint64_t)window);
    sfence();
    pages[0] = (pmem + 0xe000) | 7; /* two pages that follow each other lie apart */
    pages[1] = (pmem + 0xd000) | 7;
    __asm__ volatile("invlpg (%0)" ::"r"(window) : "memory");
    *(words)(0x8000000ffd) = 0x3837363534333231;
  }

  mark(10); /* two processors take turns */
  for (char *from = trampoline, *to = (char *)0x8000; from < trampoline_end;) *to++ = *from++;
  {
    volatile uint32_t *apic = (uint32_t *)0xfee00000;
    apic[0xf0 / 4] = 0x1ff;
    apic[0x310 / 4] = 2u << 24;
    apic[0x300 / 4] = 0x4500;
    for (volatile int i = 0; i < 10000; i++) {}
    apic[0x310 / 4] = 2u << 24;
    apic[0x300 / 4] = 0x4608;
  }
  for (long i = 0; i < 200000000 && !second_runs; i++) __asm__ volatile("pause");
  *at(0xb000) = 1;
  clwb(pmem + 0xb000);
  second_runs = 2;
  while (!second_done) __asm__ volatile("pause");
  sfence();

  mark(11); /* a label write through the mailbox of _DSM */
  if (mailbox) {
    static const uint8_t device[16] = {0x30, 0xac, 0x09, 0x43, 0x11, 0x0d, 0xe4, 0x11, 0x91, 0x91, 0x08, 0x00, 0x20, 0x0c, 0x9a, 0x66};
    volatile uint32_t *page = (uint32_t *)mailbox;
    page[1] = 1; /* handle */
    page[2] = 1; /* revision */
    page[3] = 6; /* set label data */
    page[4] = 8 + 16;
    for (int i = 0; i < 16; i++) ((volatile uint8_t *)mailbox)[20 + i] = device[i];
    page[10] = 0x1000;
    page[11] = 16;
    for (int i = 0; i < 16; i++) ((volatile uint8_t *)mailbox)[48 + i] = 'a' + i;
    page[0] = 1;
    while (page[0]) __asm__ volatile("pause");
    *at(0xc000) = page[10]; /* its status: 0 */
  }

  mark(12);
  for (const char *text = "\nguest: exit status 0\n"; *text; text++) out8(0x3f8, *text); /* as the guest kit's /init */
  for (;;) out16(0x604, 0x2000); /* S5 */
}

void second(void) {
  second_runs = 1;
  while (second_runs != 2) __asm__ volatile("pause");
  *at(0xb040) = 2;
  clwb(pmem + 0xb040);
  sfence();
  second_done = 1;
}
