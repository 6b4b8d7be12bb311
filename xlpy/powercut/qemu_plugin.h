/* What QEMU offers to plugins, as far as pmtrace uses it: interface version 4, QEMU 9.2 and newer. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
enum { CB_NO_REGS = 0, CB_R_REGS = 1, MEM_R = 1, MEM_W = 2 };

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
unsigned qemu_plugin_mem_size_shift(meminfo);
array *qemu_plugin_get_registers(void);
int qemu_plugin_read_register(reg *, byte_array *);
__attribute__((visibility("default"))) int qemu_plugin_version = 4;
