"""The Fixed ACPI Description Table, signature FACP (ACPI 6.5, 5.2.9).

It grew: 116 bytes in ACPI 1.0 (revision 1), 132 in an erratum of ACPI 1.0b (revision 2), 244 from 2.0 on (revisions 3
and 4), 268 in 5.0 (revision 5), 276 in 6.0.
A field that is not given to ``build_fadt`` is 0.
"""

from __future__ import annotations

from typing import Unpack

from construct import If, Padding, Struct, this

from xlpy.firmware.acpi.gas import GAS, U8, U16, U32, U64
from xlpy.firmware.acpi.sdt import TableFormat
from xlpy.typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xlpy.firmware.acpi.header import Identity

LENGTHS = {1: 116, 2: 132, 3: 244, 4: 244, 5: 268, 6: 276}  # by revision

# flags
WBINVD, WBINVD_FLUSH, PROC_C1, P_LVL2_UP, PWR_BUTTON, SLP_BUTTON, FIX_RTC, RTC_S4, TMR_VAL_EXT, DCK_CAP = (
    1 << n for n in range(10)
)
RESET_REG_SUP, SEALED_CASE, HEADLESS, CPU_SW_SLP, PCI_EXP_WAK, USE_PLATFORM_CLOCK = (1 << n for n in range(10, 16))
# iapc_boot_arch
LEGACY_DEVICES, HAS_8042, NO_VGA, NO_MSI, NO_ASPM, NO_CMOS_RTC = (1 << n for n in range(6))


# Fields that came with later lengths
SINCE_132, SINCE_244, SINCE_268, SINCE_276 = (this._params.length >= length for length in (132, 244, 268, 276))

FADT = TableFormat(
    "FACP",
    Struct(
        "firmware_ctrl" / U32,
        "dsdt" / U32,
        "int_model" / U8,
        "preferred_pm_profile" / U8,
        "sci_int" / U16,
        "smi_cmd" / U32,
        "acpi_enable" / U8,
        "acpi_disable" / U8,
        "s4bios_req" / U8,
        "pstate_cnt" / U8,
        "pm1a_evt_blk" / U32,
        "pm1b_evt_blk" / U32,
        "pm1a_cnt_blk" / U32,
        "pm1b_cnt_blk" / U32,
        "pm2_cnt_blk" / U32,
        "pm_tmr_blk" / U32,
        "gpe0_blk" / U32,
        "gpe1_blk" / U32,
        "pm1_evt_len" / U8,
        "pm1_cnt_len" / U8,
        "pm2_cnt_len" / U8,
        "pm_tmr_len" / U8,
        "gpe0_blk_len" / U8,
        "gpe1_blk_len" / U8,
        "gpe1_base" / U8,
        "cst_cnt" / U8,
        "p_lvl2_lat" / U16,
        "p_lvl3_lat" / U16,
        "flush_size" / U16,
        "flush_stride" / U16,
        "duty_offset" / U8,
        "duty_width" / U8,
        "day_alrm" / U8,
        "mon_alrm" / U8,
        "century" / U8,
        "iapc_boot_arch" / U16,
        Padding(1),
        "flags" / U32,
        "reset_reg" / If(SINCE_132, GAS),
        "reset_value" / If(SINCE_132, U8),
        "arm_boot_arch" / If(SINCE_132, U16),
        "minor_revision" / If(SINCE_132, U8),
        "x_firmware_ctrl" / If(SINCE_244, U64),
        "x_dsdt" / If(SINCE_244, U64),
        "x_pm1a_evt_blk" / If(SINCE_244, GAS),
        "x_pm1b_evt_blk" / If(SINCE_244, GAS),
        "x_pm1a_cnt_blk" / If(SINCE_244, GAS),
        "x_pm1b_cnt_blk" / If(SINCE_244, GAS),
        "x_pm2_cnt_blk" / If(SINCE_244, GAS),
        "x_pm_tmr_blk" / If(SINCE_244, GAS),
        "x_gpe0_blk" / If(SINCE_244, GAS),
        "x_gpe1_blk" / If(SINCE_244, GAS),
        "sleep_control_reg" / If(SINCE_268, GAS),
        "sleep_status_reg" / If(SINCE_268, GAS),
        "hypervisor_vendor_id" / If(SINCE_276, U64),
    ),
)


def build_fadt(fields: Mapping[str, object], revision: int, **identity: Unpack[Identity]) -> bytes:
    """An FADT of the length that belongs to its revision (1 to 6); ``identity`` as for ``sdt.build_table``."""
    return FADT.build(fields, revision, length=LENGTHS[revision], **identity)
