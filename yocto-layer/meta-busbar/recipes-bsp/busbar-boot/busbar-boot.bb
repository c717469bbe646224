SUMMARY = "Boot partition: GRUB and the choice between two slots"
DESCRIPTION = "Deploys the EFI system partition and the partition of GRUB's environment, in which \
               RAUC and GRUB tell each other which slot is tried and which is known to be good."
SECTION = "bootloaders"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${BUSBAR_SOURCE}/LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

require conf/busbar-version.inc

SRC_URI = "file://grub.cfg file://grubenv"

# OpenEmbedded-Core's, which is not looked through.
# nooelint: oelint.file.requirenotfound
require conf/image-uefi.conf

inherit deploy

COMPATIBLE_HOST = "(x86_64|aarch64).*-linux"

S = "${UNPACKDIR}"

PACKAGE_ARCH = "${MACHINE_ARCH}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${EFI_FILES_PATH}
    sed -e 's|@KERNEL@|${KERNEL_IMAGETYPE}|' -e 's|@CONSOLE@|${BUSBAR_CONSOLE}|' \
        ${S}/grub.cfg > ${D}${EFI_FILES_PATH}/grub.cfg
    chmod 0644 ${D}${EFI_FILES_PATH}/grub.cfg
}

FILES:${PN} += "${EFI_FILES_PATH}"

RPROVIDES:${PN} = "virtual-grub-bootconf"

do_deploy() {
    esp=${B}/busbar-esp.vfat
    rm -f $esp
    mkdosfs -n ESP -C $esp 32768
    mmd -i $esp ::/EFI ::/EFI/BOOT
    mcopy -i $esp ${D}${EFI_FILES_PATH}/grub.cfg ::/EFI/BOOT/grub.cfg
    mcopy -i $esp ${DEPLOY_DIR_IMAGE}/grub-efi-${EFI_BOOT_IMAGE} ::/EFI/BOOT/${EFI_BOOT_IMAGE}

    # Slot A is on the disk; B is empty until the first update.
    env=${B}/busbar-grubenv.vfat
    rm -f $env
    mkdosfs -n GRUBENV -C $env 1024
    mcopy -i $env ${S}/grubenv ::/grubenv

    install -m 0644 $esp $env ${DEPLOYDIR}/
}
do_deploy[depends] += "\
    dosfstools-native:do_populate_sysroot \
    grub-efi:do_deploy \
    mtools-native:do_populate_sysroot \
"

addtask deploy after do_install before do_build
