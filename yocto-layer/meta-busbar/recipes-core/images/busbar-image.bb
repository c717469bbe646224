SUMMARY = "The appliance as an image: read-only, two slots, state on a partition of its own"
DESCRIPTION = "All of the appliance's system: nothing is installed on it later but the next image."
SECTION = "images"
LICENSE = "Apache-2.0"

require conf/busbar-version.inc

inherit core-image extrausers features_check

REQUIRED_DISTRO_FEATURES = "rauc systemd"

IMAGE_INSTALL = "packagegroup-core-boot busbar-system kernel-image kernel-modules"
IMAGE_FEATURES = "read-only-rootfs"
IMAGE_LINGUAS = ""

# Nobody can log in unless the builder has set a password for the console.
EXTRA_USERS_PARAMS = "${@busbar_root(d)}"

def busbar_root(d):
    hash = (d.getVar('BUSBAR_ROOT_HASH') or '').replace('$', '\\$')
    return "usermod -p '%s' root;" % hash if hash else 'usermod -L root;'

# `ext4` goes into the slots, `wic` onto a new disk.
IMAGE_FSTYPES = "ext4 wic.zst wic.bmap"
# An override by kind of image, which only images have.
# nooelint: oelint.vars.specific
IMAGE_TYPEDEP:wic = "ext4"
IMAGE_ROOTFS_SIZE = "${@int(d.getVar('BUSBAR_ROOT_MIB')) * 1024 - 65536}"
IMAGE_ROOTFS_MAXSIZE = "${@int(d.getVar('BUSBAR_ROOT_MIB')) * 1024}"
IMAGE_OVERHEAD_FACTOR = "1"
WKS_FILE = "busbar.wks.in"
WKS_FILE_DEPENDS = "busbar-boot e2fsprogs-native dosfstools-native mtools-native"
do_image_wic[depends] += "busbar-boot:do_deploy"

# A machine whose disk needs a module has an initramfs: each slot has its own, beside its kernel.
BUSBAR_INITRAMFS = "${@d.getVar('INITRAMFS_IMAGE') or ''}"
do_rootfs[depends] += "${@'${BUSBAR_INITRAMFS}:do_image_complete' if d.getVar('BUSBAR_INITRAMFS') else ''}"
ROOTFS_POSTPROCESS_COMMAND += "busbar_initramfs;"

busbar_initramfs[doc] = "Puts the initramfs beside the kernel of its slot"
busbar_initramfs() {
    if [ -n "${BUSBAR_INITRAMFS}" ]; then
        install -m 0644 ${DEPLOY_DIR_IMAGE}/${BUSBAR_INITRAMFS}-${MACHINE}.cpio.gz ${IMAGE_ROOTFS}/boot/initrd
    fi
}
