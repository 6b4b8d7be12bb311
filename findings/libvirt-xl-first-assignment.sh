#!/bin/sh
# Of two assignments to one key xl takes the last; libvirt's reader of xl configurations
# (virsh domxml-from-native xen-xl) takes the first, with no message. So a file whose settings are overridden at its end,
# as scripts and templates do, becomes another domain in libvirt. Where the two agree on the assignment they may differ in
# the number: 01000 is octal in xl and decimal in libvirt.
#
# xl's reader is libxlutil's, as xl calls it; libvirt's is called in the library, as its daemon starts its Xen driver only on Xen.
#
# Seen with libvirt 9.0.0 (Debian 12, 9.0.0-4+deb12u2), as with 11.3.0 and 12.8.0, and Xen 4.17 (4.17.5+72-g01140da4e8-1), MiB:
#   memory = 512, then memory = 256:  xl 256, libvirt 512
#   memory = 01000:                   xl 512, libvirt 1000
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
version=9.0.0-4+deb12u2
xen=4.17.5+72-g01140da4e8-1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
mkdir -p archives/partial
apt-get -q -o Dir::State::status=/dev/null -o Dir::Cache::archives="$folder/archives" --no-install-recommends --download-only \
    -y install "libvirt-daemon-driver-xen=$version" "libvirt0=$version" "libxenmisc4.17=$xen" >/dev/null 2>&1 ||
    { echo "libvirt $version or libxenmisc4.17 $xen is not to be had"; exit 2; }
for deb in archives/*.deb; do dpkg -x "$deb" .; done
cat >read.py <<'PY'
import ctypes, re, sys

root, text = sys.argv[1], sys.argv[2].encode()
lib = ctypes.CDLL(f"{root}/usr/lib/x86_64-linux-gnu/libvirt.so.0", ctypes.RTLD_GLOBAL)
driver = ctypes.CDLL(f"{root}/usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_libxl.so")
P, S, I = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int

def call(name, result, *arguments, where=lib):
    function = getattr(where, name)
    function.restype, function.argtypes = result, [type(one) for one in arguments]
    return function(*arguments)

call("virInitialize", I)
arch = call("virArchFromString", I, S(b"x86_64"))
caps = P(call("virCapabilitiesNew", P, I(arch), I(1), I(1)))
hvm = call("virDomainOSTypeFromString", I, S(b"hvm"))
guest = P(call("virCapabilitiesAddGuest", P, caps, I(hvm), I(arch), S(b"/usr/bin/qemu"), S(), I(0), P()))
xen = call("virDomainVirtTypeFromString", I, S(b"xen"))
call("virCapabilitiesAddGuestDomain", P, guest, I(xen), S(), S(), I(0), P())
state = ctypes.create_string_buffer(1 << 16)
options = P(call("libxlCreateXMLConf", P, P(ctypes.addressof(state)), where=driver))
conf = call("virConfReadString", P, S(text), I(0))
domain = P(call("xenParseXL", P, P(conf), caps, options, where=driver))
xml = ctypes.string_at(call("virDomainDefFormat", P, domain, options, I(0))).decode()
libvirt = int(re.search("<memory unit=.KiB.>([0-9]+)", xml)[1]) // 1024

util = ctypes.CDLL(f"{root}/usr/lib/x86_64-linux-gnu/libxlutil.so.4.17")
read = P(call("xlu_cfg_init", P, P.in_dll(lib, "stderr"), S(b"text"), where=util))
call("xlu_cfg_readdata", I, read, S(text), I(len(text)), where=util)
found = ctypes.c_long()
call("xlu_cfg_get_long", I, read, S(b"memory"), ctypes.pointer(found), I(0), where=util)
print(f"xl {found.value}, libvirt {libvirt}")
PY
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu"
read_both() { /usr/bin/python3 read.py "$folder" "$(printf 'name = "vm1"\ntype = "hvm"\n%b\n ' "$1")"; }
twice=$(read_both 'memory = 512\nmemory = 256')
octal=$(read_both 'memory = 01000')
echo "memory = 512, then memory = 256: $twice"
echo "memory = 01000: $octal"
[ "$twice; $octal" = "xl 256, libvirt 512; xl 512, libvirt 1000" ]
