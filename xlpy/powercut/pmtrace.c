/* pmtrace: a plugin for QEMU (TCG) that records what a guest does to persistent memory.
 *
 * Recorded, for guest-physical ranges only: stores with their values, non-temporal and locked ones told apart, CLWB,
 * CLFLUSHOPT and CLFLUSH of their lines, fences, label writes that the guest asks for through the mailbox of _DSM, and
 * marks (bytes that it writes to an I/O port). The encoding stands in docs/powercut.md. With reads=FILE, which lines the
 * guest has loaded from is written there at the end.
 *
 * Arguments: range=FIRST:END (once or more), out=FILE (a gzip member is appended), ram=FILE and low=BYTES (the guest's
 * RAM, low RAM first, RAM from 4 GiB up behind it: page tables are read there), port=NUMBER of the marks,
 * mailbox=ADDRESS of its page and labels=HANDLE:BYTES of each range in turn, stride=N (the guest's vCPU n is QEMU's
 * processor n * N), absent=clwb or clflushopt (not in the guest's CPUID: executing it is an invalid opcode), reads=FILE.
 *
 * TCG executes write-backs as no operation: they are decoded here, their address translated by the guest's page tables.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "qemu_plugin.h"
#include "x86.h"

/* ---- what is recorded ---------------------------------------------------------------------------------------------- */
enum { STORE, NONTEMPORAL, LOCKED, CLWB, CLFLUSHOPT, CLFLUSH, SFENCE, MFENCE, MARK, VCPU, DSM };
enum { LINE = 64, PAGE = 4096, MOST_RANGES = 64, MOST_VCPUS = 256, ROOM = 1 << 16 };
#define NO_MAILBOX (UINT64_MAX - 1)

static struct { uint64_t first, end, label_size; uint32_t handle; uint8_t *loaded; } ranges[MOST_RANGES];
static int range_count, label_count;
static uint64_t all_first = UINT64_MAX, all_end, low_ram, mark_port = 0x504, mailbox = NO_MAILBOX;
static unsigned stride = 1;
static bool absent[CLFLUSH + 1], told[CLFLUSH + 1];
static const char *reads_path;
static const uint8_t *ram;
static uint64_t ram_size;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static struct {
  void *file;
  int (*write)(void *, const void *, unsigned);
  int (*close)(void *);
  uint8_t bytes[ROOM + 2 * PAGE];
  unsigned used;
  uint64_t place; /* end of the store, or line, that was recorded last */
  unsigned vcpu;
  bool failed;
} out;

/* Registers by gdb's names: general ones in the order of their encoding, then what addresses need. */
enum { CR3 = GS + 1, CR4, REGS };
static const char *const names[REGS] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9",
                                        "r10", "r11", "r12", "r13", "r14", "r15", "fs_base", "gs_base", "cr3", "cr4"};
static struct { reg *regs[REGS]; byte_array *buffer; bool pending; } vcpus[MOST_VCPUS];

static void put_number(uint64_t value) {
  for (; value > 0x7f; value >>= 7) out.bytes[out.used++] = value | 0x80;
  out.bytes[out.used++] = value;
}

static void put_signed(int64_t value) { put_number(value >= 0 ? (uint64_t)value << 1 : (uint64_t)(-(value + 1)) * 2 + 1); }

static void give_up(void) {
  if (!out.failed) fprintf(stderr, "pmtrace: the trace cannot be written, it ends here\n");
  out.failed = true;
}

static void flush_out(void) {
  if (out.used && !out.failed && out.write(out.file, out.bytes, out.used) != (int)out.used) give_up();
  out.used = 0;
}

/* Begin an event of a vCPU; the lock is held until `finish`. */
static void begin(unsigned vcpu) {
  pthread_mutex_lock(&writing);
  vcpu /= stride;
  if (vcpu != out.vcpu) {
    out.bytes[out.used++] = VCPU;
    put_number(vcpu);
    out.vcpu = vcpu;
  }
}

static void finish(void) {
  if (out.used >= ROOM) flush_out();
  pthread_mutex_unlock(&writing);
}

static void fence(unsigned vcpu, int kind) {
  if (!vcpus[vcpu].pending) return; /* nothing to order */
  vcpus[vcpu].pending = false;
  begin(vcpu);
  out.bytes[out.used++] = kind;
  finish();
}

static int range_of(uint64_t address) {
  if (address < all_first || address >= all_end) return -1;
  for (int i = 0; i < range_count; i++)
    if (ranges[i].first <= address && address < ranges[i].end) return i;
  return -1;
}

static bool recorded(uint64_t address) { return range_of(address) >= 0; }

/* ---- the guest's registers and page tables ----------------------------------------------------------------------------- */
static uint64_t read_register(unsigned vcpu, int number) {
  uint64_t value = 0;
  byte_array *buffer = vcpus[vcpu].buffer;
  if (!vcpus[vcpu].regs[number]) return 0;
  g_byte_array_set_size(buffer, 0);
  int size = qemu_plugin_read_register(vcpus[vcpu].regs[number], buffer);
  if (size > 0) memcpy(&value, buffer->data, size > 8 ? 8 : size);
  return value;
}

static bool table_entry(uint64_t table, unsigned index, uint64_t *entry) {
  uint64_t at = (table & 0xffffffffff000) + index * 8;
  if (at >= UINT64_C(1) << 32) at = at - (UINT64_C(1) << 32) + low_ram;
  else if (at >= low_ram) return false;
  if (at + 8 > ram_size) return false;
  memcpy(entry, ram + at, 8);
  return *entry & 1;
}

/* Translate a virtual address by the guest's page tables (Intel SDM volume 3, 4.5). */
static bool translate(unsigned vcpu, uint64_t address, uint64_t *physical) {
  uint64_t entry = read_register(vcpu, CR3);
  int levels = read_register(vcpu, CR4) >> 12 & 1 ? 5 : 4;
  for (int level = levels; level > 0; level--) {
    int shift = 12 + 9 * (level - 1);
    if (!table_entry(entry, address >> shift & 511, &entry)) return false;
    if (level == 1 || (level <= 3 && entry >> 7 & 1)) {
      uint64_t mask = (UINT64_C(1) << shift) - 1;
      *physical = (entry & 0xffffffffff000 & ~mask) | (address & mask);
      return true;
    }
  }
  return false;
}

/* ---- stores and label writes ------------------------------------------------------------------------------------------ */
static const uint8_t label_uuid[16] = {0x30, 0xac, 0x09, 0x43, 0x11, 0x0d, 0xe4, 0x11, 0x91, 0x91, 0x08, 0x00, 0x20, 0x0c, 0x9a, 0x66};

/* The doorbell of the mailbox was rung: a label write is in flight until the guest goes on (mailbox.py has the layout). */
static void on_doorbell(unsigned vcpu) {
  uint32_t word[5], place[2];
  const uint8_t *page = ram + mailbox;
  memcpy(word, page, sizeof word);
  memcpy(place, page + 40, sizeof place);
  uint32_t handle = word[1], revision = word[2], function = word[3], length = word[4];
  if (revision != 1 || function != 6 || memcmp(page + 20, label_uuid, 16)) return;
  if (length < 8 || length > PAGE - 40 || place[1] > length - 8) return;
  for (int i = 0; i < label_count; i++) {
    if (ranges[i].handle != handle || (uint64_t)place[0] + place[1] > ranges[i].label_size) continue;
    begin(vcpu);
    out.bytes[out.used++] = DSM;
    put_number(i);
    put_number(place[0]);
    put_number(place[1]);
    memcpy(out.bytes + out.used, page + 48, place[1]);
    out.used += place[1];
    finish();
    return;
  }
}

/* A part of a store that lies in one page. */
static void put_store(unsigned vcpu, int kind, uint64_t physical, const uint8_t *data, unsigned size) {
  for (unsigned part; size; physical += part, data += part, size -= part) {
    int power = 31 - __builtin_clz(size); /* parts of a store over a page boundary have any size */
    part = 1u << power;
    begin(vcpu);
    out.bytes[out.used++] = kind | power << 4;
    put_signed((int64_t)(physical - out.place));
    memcpy(out.bytes + out.used, data, part);
    out.used += part;
    out.place = physical + part;
    finish();
  }
  vcpus[vcpu].pending = kind != LOCKED;
}

static void on_store(unsigned vcpu, meminfo info, uint64_t address, void *kind_of) {
  int kind = (int)(intptr_t)kind_of;
  hwaddr *where = qemu_plugin_get_hwaddr(info, address);
  uint64_t physical = where && !qemu_plugin_hwaddr_is_io(where) ? qemu_plugin_hwaddr_phys_addr(where) : UINT64_MAX;
  bool here = recorded(physical), over = (address & (PAGE - 1)) > PAGE - 64;
  if (!here && !over) {
    if (kind == LOCKED) fence(vcpu, MFENCE);
    if (physical == mailbox && qemu_plugin_mem_get_value(info).data.u8) on_doorbell(vcpu);
    return;
  }
  mem_value value = qemu_plugin_mem_get_value(info); /* little-endian, as the guest's memory */
  const uint8_t *data = (const uint8_t *)&value.data;
  unsigned size = value.type <= 4 ? 1u << value.type : 0, room = PAGE - (address & (PAGE - 1));
  uint64_t rest;
  if (size <= room) room = size;
  if (here) put_store(vcpu, kind, physical, data, room);
  if (size > room && translate(vcpu, address + room, &rest) && recorded(rest)) /* the next page may lie anywhere */
    put_store(vcpu, kind, rest, data + room, size - room);
  else if (!here && kind == LOCKED) fence(vcpu, MFENCE);
}

static void on_load(unsigned vcpu, meminfo info, uint64_t address, void *unused) {
  (void)vcpu, (void)unused;
  hwaddr *where = qemu_plugin_get_hwaddr(info, address);
  uint64_t physical = where && !qemu_plugin_hwaddr_is_io(where) ? qemu_plugin_hwaddr_phys_addr(where) : UINT64_MAX, rest;
  unsigned size = 1u << qemu_plugin_mem_size_shift(info), room = PAGE - (address & (PAGE - 1));
  int range = range_of(physical);
  if (range >= 0) {
    uint64_t first = (physical - ranges[range].first) / LINE, last = (physical - ranges[range].first + (size < room ? size : room) - 1) / LINE;
    for (; first <= last; first++) ranges[range].loaded[first / 8] |= 1 << first % 8;
  }
  if (size > room && translate(vcpu, address + room, &rest) && (range = range_of(rest)) >= 0) {
    uint64_t line = (rest - ranges[range].first) / LINE;
    ranges[range].loaded[line / 8] |= 1 << line % 8;
  }
}

/* ---- write-backs, fences and marks ----------------------------------------------------------------------------------- */

static void on_flush(unsigned vcpu, void *what) {
  const struct operand *o = what;
  if (absent[o->kind]) {
    if (!told[o->kind]) fprintf(stderr, "pmtrace: the guest uses %s, which is not in its CPUID\n", o->kind == CLWB ? "clwb" : "clflushopt");
    told[o->kind] = true;
    return;
  }
  uint64_t address = o->displacement + (o->relative ? o->next : 0), physical;
  if (o->base >= 0) address += read_register(vcpu, o->base);
  if (o->index >= 0) address += read_register(vcpu, o->index) << o->scale;
  if (o->narrow) address = (uint32_t)address;
  if (o->segment) address += read_register(vcpu, o->segment);
  if (!translate(vcpu, address, &physical) || !recorded(physical)) return;
  begin(vcpu);
  out.bytes[out.used++] = o->kind;
  put_signed((int64_t)(physical / LINE) - (int64_t)(out.place / LINE));
  out.place = physical / LINE * LINE;
  finish();
  vcpus[vcpu].pending = true;
}

static void on_fence(unsigned vcpu, void *kind) { fence(vcpu, (int)(intptr_t)kind); }

static void on_out(unsigned vcpu, void *immediate) {
  uint64_t port = immediate ? (uint64_t)(intptr_t)immediate - 1 : read_register(vcpu, 2) & 0xffff;
  if (port != mark_port) return;
  uint64_t value = read_register(vcpu, 0) & 0xff;
  begin(vcpu);
  out.bytes[out.used++] = MARK;
  put_number(value);
  finish();
}

/* ---- decoding -------------------------------------------------------------------------------------------------------- */
static void on_instruction(insn *in) {
  uint8_t bytes[16];
  struct prefixes p = {0};
  size_t size = qemu_plugin_insn_data(in, bytes, sizeof bytes), at = read_prefixes(bytes, size, &p);
  const uint8_t *b = bytes + at;
  size -= at;
  if (!size) return;
  bool exchange = (b[0] == 0x86 || b[0] == 0x87) && size > 1 && b[1] < 0xc0;
  int store = p.lock || exchange ? LOCKED : is_nontemporal(b, size) ? NONTEMPORAL : STORE;
  qemu_plugin_register_vcpu_mem_cb(in, on_store, CB_R_REGS, MEM_W, (void *)(intptr_t)store);
  if (reads_path) qemu_plugin_register_vcpu_mem_cb(in, on_load, CB_R_REGS, MEM_R, NULL);
  if (b[0] == 0xee || b[0] == 0xef) {
    qemu_plugin_register_vcpu_insn_exec_cb(in, on_out, CB_R_REGS, NULL);
  } else if ((b[0] == 0xe6 || b[0] == 0xe7) && size > 1) {
    qemu_plugin_register_vcpu_insn_exec_cb(in, on_out, CB_R_REGS, (void *)(intptr_t)(b[1] + 1));
  } else if (b[0] == 0x0f && size > 2 && b[1] == 0xae) {
    int mod = b[2] >> 6, field = b[2] >> 3 & 7, kind = -1;
    if (mod == 3) {
      if (!p.repeat && !p.repeat_not && !p.operand && field >= 6)
        qemu_plugin_register_vcpu_insn_exec_cb(in, on_fence, CB_NO_REGS, (void *)(intptr_t)(field == 7 ? SFENCE : MFENCE));
      return;
    }
    if (field == 7) kind = p.operand ? CLFLUSHOPT : CLFLUSH;
    else if (field == 6 && p.operand) kind = CLWB;
    if (kind >= 0) {
      uint64_t next = qemu_plugin_insn_vaddr(in) + qemu_plugin_insn_size(in);
      struct operand *o = read_operand(next, b + 2, size - 2, &p, kind);
      if (o) qemu_plugin_register_vcpu_insn_exec_cb(in, on_flush, CB_R_REGS, o);
    }
  }
}

static void on_translation(plugin_id id, tb *block) {
  (void)id;
  for (size_t i = 0, count = qemu_plugin_tb_n_insns(block); i < count; i++) on_instruction(qemu_plugin_tb_get_insn(block, i));
}

/* ---- start and end ----------------------------------------------------------------------------------------------------- */
static void on_vcpu(plugin_id id, unsigned vcpu) {
  (void)id;
  if (vcpu >= MOST_VCPUS) return;
  array *found = qemu_plugin_get_registers();
  const reg_descriptor *descriptors = (const reg_descriptor *)found->data;
  for (unsigned i = 0; i < found->len; i++)
    for (int k = 0; k < REGS; k++)
      if (!strcmp(descriptors[i].name, names[k])) vcpus[vcpu].regs[k] = descriptors[i].handle;
  vcpus[vcpu].buffer = g_byte_array_new();
}

/* Runs of lines that were loaded from: address and bytes. */
static void put_loaded(FILE *file, int range) {
  uint64_t lines = (ranges[range].end - ranges[range].first) / LINE;
  const uint8_t *loaded = ranges[range].loaded;
  for (uint64_t line = 0, first; line < lines; line++) {
    if (!(line % 8) && !loaded[line / 8]) line += 7;
    if (line >= lines || !(loaded[line / 8] >> line % 8 & 1)) continue;
    for (first = line; line < lines && loaded[line / 8] >> line % 8 & 1; line++) {}
    fprintf(file, "%llx %llx\n", (long long)(ranges[range].first + first * LINE), (long long)((line - first) * LINE));
  }
}

static void on_exit_(plugin_id id, void *unused) {
  (void)id, (void)unused;
  pthread_mutex_lock(&writing);
  flush_out();
  if (out.close(out.file)) give_up();
  if (reads_path) {
    FILE *reads = fopen(reads_path, "w");
    for (int i = 0; reads && i < range_count; i++) put_loaded(reads, i);
    if (!reads || ferror(reads) | fclose(reads)) give_up();
  }
  if (!out.failed) fprintf(stderr, "pmtrace: complete\n");
  pthread_mutex_unlock(&writing);
}

static bool open_out(const char *path) {
  void *zlib = dlopen("libz.so.1", RTLD_NOW);
  void *(*open_gz)(const char *, const char *) = zlib ? (void *(*)(const char *, const char *))dlsym(zlib, "gzopen") : NULL;
  if (!open_gz) return false;
  out.write = (int (*)(void *, const void *, unsigned))dlsym(zlib, "gzwrite");
  out.close = (int (*)(void *))dlsym(zlib, "gzclose");
  out.file = out.write && out.close ? open_gz(path, "ab1") : NULL;
  return out.file != NULL;
}

static bool map_ram(const char *path) {
  struct stat found;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &found)) return false;
  ram_size = found.st_size;
  ram = mmap(NULL, ram_size, PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  return ram != MAP_FAILED;
}

__attribute__((visibility("default"))) int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info;
  const char *ram_path = NULL, *out_path = NULL;
  for (int i = 0; i < argc; i++) {
    char *value = strchr(argv[i], '='), *end;
    size_t name = value ? (size_t)(value - argv[i]) : 0;
    if (!value++) continue;
    if (!strncmp(argv[i], "out", name)) out_path = value;
    else if (!strncmp(argv[i], "ram", name)) ram_path = value;
    else if (!strncmp(argv[i], "low", name)) low_ram = strtoull(value, NULL, 0);
    else if (!strncmp(argv[i], "port", name)) mark_port = strtoull(value, NULL, 0);
    else if (!strncmp(argv[i], "mailbox", name)) mailbox = strtoull(value, NULL, 0);
    else if (!strncmp(argv[i], "stride", name)) stride = strtoul(value, NULL, 0);
    else if (!strncmp(argv[i], "absent", name)) absent[strcmp(value, "clwb") ? CLFLUSHOPT : CLWB] = true;
    else if (!strncmp(argv[i], "reads", name)) reads_path = value;
    else if (!strncmp(argv[i], "labels", name) && label_count < MOST_RANGES) {
      ranges[label_count].handle = strtoul(value, &end, 0);
      ranges[label_count++].label_size = strtoull(end + 1, NULL, 0);
    }
    else if (!strncmp(argv[i], "range", name) && range_count < MOST_RANGES) {
      ranges[range_count].first = strtoull(value, &end, 0);
      ranges[range_count].end = strtoull(end + 1, NULL, 0);
      if (ranges[range_count].first < all_first) all_first = ranges[range_count].first;
      if (ranges[range_count].end > all_end) all_end = ranges[range_count].end;
      range_count++;
    }
  }
  if (!ram_path || !map_ram(ram_path)) {
    fprintf(stderr, "pmtrace: the guest's RAM file cannot be read\n");
    return -1;
  }
  if (mailbox > low_ram - PAGE) mailbox = NO_MAILBOX;
  for (int i = 0; reads_path && i < range_count; i++)
    if (!(ranges[i].loaded = calloc((ranges[i].end - ranges[i].first) / LINE / 8 + 1, 1))) return -1;
  if (!out_path || !open_out(out_path)) {
    fprintf(stderr, "pmtrace: the trace file cannot be opened, or libz.so.1 is missing\n");
    return -1;
  }
  qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
  return 0;
}
