/* A record and a flag that says it is valid, with PMDK's libpmem: right, or with one flush left out.
 *
 * pool FILE right|wrong. What must hold after any failure: when the flag is set, the record is there.
 */
#include <libpmem.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv) {
  size_t size;
  int is_pmem;
  if (argc != 3) return 2;
  char *pool = pmem_map_file(argv[1], 65536, PMEM_FILE_CREATE, 0644, &size, &is_pmem);
  if (!pool || !is_pmem) {
    fprintf(stderr, "%s: %s\n", argv[1], pool ? "is not persistent memory" : pmem_errormsg());
    return 1;
  }
  memset(pool + 4096, 'r', 128);
  if (!strcmp(argv[2], "right")) pmem_persist(pool + 4096, 128);
  *(uint64_t *)pool = 1;
  pmem_persist(pool, 8);
  return 0;
}
