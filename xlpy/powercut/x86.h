/* The little of x86 that must be decoded: prefixes, memory operands, and which stores bypass the cache. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { FS = 16, GS }; /* segments, and where the registers with their bases are found */
struct operand { int kind, base, index, scale, segment; bool relative, narrow; int64_t displacement; uint64_t next; };
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

/* What a write-back names. next: the address behind the instruction. Lives as long as the translation may. */
static struct operand *read_operand(uint64_t next, const uint8_t *b, size_t size, const struct prefixes *p, int kind) {
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
    o->next = next;
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
