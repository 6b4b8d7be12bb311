#!/bin/sh
# libvirt's reader of xl configurations (virsh domxml-from-native xen-xl) takes acpi_firmware over and passes over iomem, with
# no message. The two are used together to give an HVM guest memory that the stock xl has no device for, such as an NVDIMM:
# the tables say where it is, iomem puts it there. The domain that libvirt defines has the tables alone, so its guest finds
# an NFIT and a /dev/pmem0 with nothing behind it. A comment inside the list makes libvirt refuse the whole file (xl
# allows it), and that is the only protection.
#
# The reader is called in the library, as libvirt's daemon starts its Xen driver only on Xen.
#
# Seen with libvirt 9.0.0 (Debian 12, 9.0.0-4+deb12u2), as with 11.3.0 and 12.8.0 (which write type='rawset'):
#   plain:   table at /etc/xen/vm1.acpi, iomem lost
#   comment: refused
# Exit status: 0 as seen; 1 the behaviour has changed; 2 no packages.
set -eu
version=9.0.0-4+deb12u2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
chmod 755 "$folder"
cd "$folder"
mkdir -p archives/partial
apt-get -q -o Dir::State::status=/dev/null -o Dir::Cache::archives="$folder/archives" --no-install-recommends --download-only \
    -y install "libvirt-daemon-driver-xen=$version" "libvirt0=$version" >/dev/null 2>&1 ||
    { echo "libvirt-daemon-driver-xen $version is not to be had"; exit 2; }
for deb in archives/*.deb; do dpkg -x "$deb" .; done
cat >plain.cfg <<'CFG'
name = "vm1"
type = "hvm"
memory = 512
iomem = [ "140c12,4000@500000" ]
acpi_firmware = "/etc/xen/vm1.acpi"
CFG
sed 's/^iomem = \[/&\n# the file behind it\n/' plain.cfg >comment.cfg
cat >read.py <<'PY'
import ctypes, sys

root, file = sys.argv[1:]
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
conf = call("virConfReadString", P, S(open(file, "rb").read()), I(0))
if not conf:
    sys.exit("refused")
domain = P(call("xenParseXL", P, P(conf), caps, options, where=driver))
print(ctypes.string_at(call("virDomainDefFormat", P, domain, options, I(0))).decode())
PY
export LD_LIBRARY_PATH="$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu"
xml=$(/usr/bin/python3 read.py "$folder" plain.cfg)
echo "libvirt $version"
echo "$xml" | grep -A2 "<acpi>"
seen=$(echo "$xml" | grep -c "<table type='[a-z]*'>/etc/xen/vm1.acpi</table>") || true
lost=$(echo "$xml" | grep -ci "iomem\|140c12\|500000") || true
refused=$(/usr/bin/python3 read.py "$folder" comment.cfg 2>&1 | tail -n 1)
echo "plain: tables $seen, traces of iomem $lost; with a comment in the list: $refused"
[ "$seen $lost $refused" = "1 0 refused" ]
