/*
 * A machine that answers just enough for "xl create -n": preloaded into Debian's xl, it stands in for the libxenctrl
 * and libxenstore calls that open the hypervisor, so that the real parser can be asked without one.
 *
 * The machine has XL_STUB_CPUS CPUs (8) in XL_STUB_NODES NUMA nodes (2). Everything else fails with ENOSYS.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <xenctrl.h>
#include <xenstore.h>

static char handle[4096];

static unsigned int number(const char *name, unsigned int otherwise)
{
    const char *text = getenv(name);

    return text ? (unsigned int)atoi(text) : otherwise;
}

static unsigned int cpus(void) { return number("XL_STUB_CPUS", 8); }
static unsigned int nodes(void) { return number("XL_STUB_NODES", 2); }

static int missing(void)
{
    errno = ENOSYS;
    return -1;
}

xc_interface *xc_interface_open(xentoollog_logger *log, xentoollog_logger *dom, unsigned flags)
{
    (void)log, (void)dom, (void)flags;
    return (xc_interface *)handle;
}

int xc_interface_close(xc_interface *xch) { (void)xch; return 0; }

int xc_version(xc_interface *xch, int cmd, void *arg)
{
    (void)xch, (void)arg;
    return cmd == 0 ? (4 << 16) | (int)number("XL_STUB_MINOR", 17) : missing();
}

/* From 4.18 on these texts come by calls of their own. */
static char *no_text(void) { missing(); return NULL; }
char *xc_xenver_extraversion(xc_interface *xch) { (void)xch; return no_text(); }
char *xc_xenver_capabilities(xc_interface *xch) { (void)xch; return no_text(); }
char *xc_xenver_changeset(xc_interface *xch) { (void)xch; return no_text(); }
char *xc_xenver_commandline(xc_interface *xch) { (void)xch; return no_text(); }
char *xc_xenver_buildid(xc_interface *xch) { (void)xch; return no_text(); }

int xc_physinfo(xc_interface *xch, xc_physinfo_t *info)
{
    (void)xch;
    memset(info, 0, sizeof(*info));
    info->nr_cpus = cpus();
    info->max_cpu_id = cpus() - 1;
    info->nr_nodes = nodes();
    info->max_node_id = nodes() - 1;
    return 0;
}

int xc_get_max_cpus(xc_interface *xch) { (void)xch; return (int)cpus(); }
int xc_get_online_cpus(xc_interface *xch) { (void)xch; return (int)cpus(); }
int xc_get_max_nodes(xc_interface *xch) { (void)xch; return (int)nodes(); }
long xc_sharing_freed_pages(xc_interface *xch) { (void)xch; return 0; }
long xc_sharing_used_frames(xc_interface *xch) { (void)xch; return 0; }

/* The CPUs are split evenly among the nodes, in order. */
int xc_cputopoinfo(xc_interface *xch, unsigned *max, xc_cputopo_t *out)
{
    unsigned int cpu, share = (cpus() + nodes() - 1) / nodes();

    (void)xch;
    for (cpu = 0; out && cpu < *max && cpu < cpus(); cpu++)
        out[cpu] = (xc_cputopo_t){ .core = cpu, .socket = 0, .node = cpu / share };
    *max = cpus();
    return 0;
}

struct xs_handle *xs_open(unsigned long flags) { (void)flags; return (struct xs_handle *)handle; }
void xs_close(struct xs_handle *xsh) { (void)xsh; }
int xs_fileno(struct xs_handle *xsh) { (void)xsh; return 0; }

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    (void)h, (void)t, (void)path, (void)len;
    missing();
    return NULL;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    (void)h, (void)t, (void)path, (void)num;
    missing();
    return NULL;
}
