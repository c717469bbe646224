SUMMARY = "Update of the appliance's system, signed"
DESCRIPTION = "What `busbar-update` takes: the image for the other slot, signed with RAUC_KEY_FILE."
SECTION = "images"
LICENSE = "Apache-2.0"

require conf/busbar-version.inc

inherit bundle features_check

REQUIRED_DISTRO_FEATURES = "rauc systemd"

RAUC_BUNDLE_COMPATIBLE = "busbar-${MACHINE}"
RAUC_BUNDLE_VERSION = "${PV}"
# Checked block by block while it is read: needs dm-verity in the kernel.
RAUC_BUNDLE_FORMAT = "verity"
RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "busbar-image"
RAUC_SLOT_rootfs[fstype] = "ext4"
