/* pmtrace: a plugin for QEMU (TCG) that records what a guest does to persistent memory.
 *
 * Recorded, for guest-physical ranges only: stores with their values, non-temporal and locked ones told apart, CLWB,
 * CLFLUSHOPT and CLFLUSH of their lines, fences, and marks (bytes that the guest writes to an I/O port). The encoding is
 * described in events.py.
 *
 * Arguments: range=FIRST:END (once or more), out=FILE (a gzip member is appended), ram=FILE and low=BYTES (the guest's
 * RAM, low RAM first, RAM from 4 GiB up behind it: page tables are read there), port=NUMBER of the marks.
 *
 * TCG executes write-backs as no operation, so they are decoded here, and their virtual address is translated by the
 * guest's page tables as they are at that moment. What QEMU offers is declared here as far as it is used: interface
 * version 4, QEMU 9.2 and newer.
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

/* ---- QEMU's plugin interface and the two GLib calls that it needs -------------------------------------------------- */
typedef uint64_t plugin_id;
typedef uint32_t meminfo;
typedef struct tb tb;
typedef struct insn insn;
typedef struct reg reg;
typedef struct hwaddr hwaddr;
typedef struct { uint8_t *data; unsigned len; } byte_array;
typedef struct { char *data; unsigned len; } array;
typedef struct { reg *handle; const char *name; const char *feature; } reg_descriptor;
typedef struct {
  int type; /* binary logarithm of the size */
  union { uint8_t u8; uint16_t u16; uint32_t u32; uint64_t u64; struct { uint64_t low, high; } u128; } data;
} mem_value;
enum { CB_NO_REGS = 0, CB_R_REGS = 1, MEM_W = 2 };

byte_array *g_byte_array_new(void);
byte_array *g_byte_array_set_size(byte_array *, unsigned);
void qemu_plugin_register_vcpu_init_cb(plugin_id, void (*)(plugin_id, unsigned));
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, tb *));
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const tb *);
insn *qemu_plugin_tb_get_insn(const tb *, size_t);
size_t qemu_plugin_insn_data(const insn *, void *, size_t);
size_t qemu_plugin_insn_size(const insn *);
uint64_t qemu_plugin_insn_vaddr(const insn *);
void qemu_plugin_register_vcpu_mem_cb(insn *, void (*)(unsigned, meminfo, uint64_t, void *), int, int, void *);
void qemu_plugin_register_vcpu_insn_exec_cb(insn *, void (*)(unsigned, void *), int, void *);
hwaddr *qemu_plugin_get_hwaddr(meminfo, uint64_t);
bool qemu_plugin_hwaddr_is_io(const hwaddr *);
uint64_t qemu_plugin_hwaddr_phys_addr(const hwaddr *);
mem_value qemu_plugin_mem_get_value(meminfo);
array *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(reg *, byte_array *);
__attribute__((visibility("default"))) int qemu_plugin_version = 4;

/* ---- what is recorded ---------------------------------------------------------------------------------------------- */
enum { STORE, NONTEMPORAL, LOCKED, CLWB, CLFLUSHOPT, CLFLUSH, SFENCE, MFENCE, MARK, VCPU };
enum { LINE = 64, MOST_RANGES = 64, MOST_VCPUS = 256, ROOM = 1 << 16 };

static struct { uint64_t first, end; } ranges[MOST_RANGES];
static int range_count;
static uint64_t all_first = UINT64_MAX, all_end, low_ram, mark_port = 0x504;
static const uint8_t *ram;
static uint64_t ram_size;
static pthread_mutex_t writing = PTHREAD_MUTEX_INITIALIZER;

static struct {
  void *file;
  int (*write)(void *, const void *, unsigned);
  int (*close)(void *);
  uint8_t bytes[ROOM + 64];
  unsigned used;
  uint64_t place; /* end of the store, or line, that was recorded last */
  unsigned vcpu;
  bool failed;
} out;

/* Registers by gdb's names: general ones in the order of their encoding, then what addresses need. */
enum { FS = 16, GS, CR3, CR4, REGS };
static const char *const names[REGS] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9",
                                        "r10", "r11", "r12", "r13", "r14", "r15", "fs_base", "gs_base", "cr3", "cr4"};
static struct { reg *regs[REGS]; byte_array *buffer; bool pending; } vcpus[MOST_VCPUS];

static void put_number(uint64_t value) {
  for (; value > 0x7f; value >>= 7) out.bytes[out.used++] = value | 0x80;
  out.bytes[out.used++] = value;
}

static void put_signed(int64_t value) { put_number(value >= 0 ? (uint64_t)value << 1 : (uint64_t)(-(value + 1)) * 2 + 1); }

static void flush_out(void) {
  if (out.used && !out.failed && out.write(out.file, out.bytes, out.used) != (int)out.used) {
    out.failed = true;
    fprintf(stderr, "pmtrace: the trace cannot be written, it ends here\n");
  }
  out.used = 0;
}

/* Begin an event of a vCPU; the lock is held until `finish`. */
static void begin(unsigned vcpu) {
  pthread_mutex_lock(&writing);
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

static bool recorded(uint64_t address) {
  if (address < all_first || address >= all_end) return false;
  for (int i = 0; i < range_count; i++)
    if (ranges[i].first <= address && address < ranges[i].end) return true;
  return false;
}

/* ---- stores -------------------------------------------------------------------------------------------------------- */
static void on_store(unsigned vcpu, meminfo info, uint64_t address, void *kind_of) {
  int kind = (int)(intptr_t)kind_of;
  hwaddr *where = qemu_plugin_get_hwaddr(info, address);
  uint64_t physical = where && !qemu_plugin_hwaddr_is_io(where) ? qemu_plugin_hwaddr_phys_addr(where) : UINT64_MAX;
  if (!recorded(physical)) {
    if (kind == LOCKED) fence(vcpu, MFENCE);
    return;
  }
  mem_value value = qemu_plugin_mem_get_value(info);
  if (value.type > 4) return;
  unsigned size = 1u << value.type;
  begin(vcpu);
  out.bytes[out.used++] = kind | value.type << 4;
  put_signed((int64_t)(physical - out.place));
  memcpy(out.bytes + out.used, &value.data, size); /* little-endian, as the guest's memory */
  out.used += size;
  out.place = physical + size;
  finish();
  vcpus[vcpu].pending = kind != LOCKED;
}

/* ---- write-backs, fences and marks ----------------------------------------------------------------------------------- */
struct operand { int kind, base, index, scale, segment; bool relative, narrow; int64_t displacement; uint64_t next; };

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

static void on_flush(unsigned vcpu, void *what) {
  const struct operand *o = what;
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
struct prefixes { bool operand, lock, narrow, repeat, repeat_not; int segment; uint8_t rex; };

static size_t read_prefixes(const uint8_t *b, size_t size, struct prefixes *p) {
  size_t i = 0;
  for (; i < size; i++) {
    switch (b[i]) {
      case 0x66: p->operand = true; continue;
      case 0x67: p->narrow = true; continue;
      case 0xf0: p->lock = true; continue;
      case 0xf2: p->repeat_not = true; continue;
      case 0xf3: p->repeat = true; continue;
      case 0x64: p->segment = FS; continue;
      case 0x65: p->segment = GS; continue;
      case 0x26: case 0x2e: case 0x36: case 0x3e: continue;
    }
    break;
  }
  if (i < size && (b[i] & 0xf0) == 0x40) p->rex = b[i++];
  return i;
}

static struct operand *read_operand(insn *in, const uint8_t *b, size_t size, const struct prefixes *p, int kind) {
  struct operand *o = calloc(1, sizeof *o);
  uint8_t modrm = b[0];
  int mod = modrm >> 6, rm = modrm & 7;
  size_t at = 1;
  int32_t wide = 0;
  if (!o) return NULL;
  *o = (struct operand){.kind = kind, .base = -1, .index = -1, .segment = p->segment, .narrow = p->narrow};
  bool no_base = false;
  if (rm == 4 && size > at) {
    uint8_t sib = b[at++];
    int index = (sib >> 3 & 7) | (p->rex & 2 ? 8 : 0);
    o->scale = sib >> 6;
    o->index = index == 4 ? -1 : index;
    no_base = (sib & 7) == 5 && mod == 0;
    if (!no_base) o->base = (sib & 7) | (p->rex & 1 ? 8 : 0);
  } else if (rm == 5 && mod == 0) {
    o->relative = no_base = true;
    o->next = qemu_plugin_insn_vaddr(in) + qemu_plugin_insn_size(in);
  } else {
    o->base = rm | (p->rex & 1 ? 8 : 0);
  }
  if (mod == 1 && size > at) o->displacement = (int8_t)b[at];
  else if ((mod == 2 || no_base) && size >= at + 4) { memcpy(&wide, b + at, 4); o->displacement = wide; }
  return o;
}

/* The kind of a store by its opcode: the instructions of SSE and AVX that bypass the cache. */
static bool is_nontemporal(const uint8_t *b, size_t size) {
  if (size < 3) return false;
  if (b[0] == 0x0f) return b[1] == 0xc3 || b[1] == 0xe7 || b[1] == 0x2b || b[1] == 0xf7;
  if (b[0] == 0xc5) return b[2] == 0xe7 || b[2] == 0x2b || b[2] == 0xf7;
  if (b[0] == 0xc4 && size > 3) return (b[1] & 31) == 1 && (b[3] == 0xe7 || b[3] == 0x2b || b[3] == 0xf7);
  if (b[0] == 0x62 && size > 4) return (b[1] & 7) == 1 && (b[4] == 0xe7 || b[4] == 0x2b);
  return false;
}

static void on_instruction(insn *in) {
  uint8_t bytes[16];
  struct prefixes p = {0};
  size_t size = qemu_plugin_insn_data(in, bytes, sizeof bytes), at = read_prefixes(bytes, size, &p);
  const uint8_t *b = bytes + at;
  size -= at;
  if (!size) return;
  bool exchange = (b[0] == 0x86 || b[0] == 0x87) && size > 1 && b[1] < 0xc0;
  int store = p.lock || exchange ? LOCKED : is_nontemporal(b, size) ? NONTEMPORAL : STORE;
  qemu_plugin_register_vcpu_mem_cb(in, on_store, CB_NO_REGS, MEM_W, (void *)(intptr_t)store);
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
      struct operand *o = read_operand(in, b + 2, size - 2, &p, kind); /* lives as long as the translation may */
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

static void on_exit_(plugin_id id, void *unused) {
  (void)id, (void)unused;
  pthread_mutex_lock(&writing);
  flush_out();
  if (out.close(out.file)) out.failed = true;
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
  if (!out_path || !open_out(out_path)) {
    fprintf(stderr, "pmtrace: the trace file cannot be opened, or libz.so.1 is missing\n");
    return -1;
  }
  qemu_plugin_register_vcpu_init_cb(id, on_vcpu);
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
  qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
  return 0;
}
