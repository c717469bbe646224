SUMMARY = "Slots of the appliance, and whose bundles it takes"
DESCRIPTION = "RAUC's system.conf, and the certificate that the bundles of this appliance are signed by."
SECTION = "base"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${BUSBAR_SOURCE}/LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

require conf/busbar-version.inc

SRC_URI = "file://system.conf"

RAUC_KEYRING_FILE ??= ""
do_install[file-checksums] += "${@'${RAUC_KEYRING_FILE}:True' if d.getVar('RAUC_KEYRING_FILE') else ''}"

S = "${UNPACKDIR}"

PACKAGE_ARCH = "${MACHINE_ARCH}"
RPROVIDES:${PN} = "virtual-rauc-conf"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    [ -n "${RAUC_KEYRING_FILE}" ] || bbfatal "RAUC_KEYRING_FILE is not set: whose bundles does it take?"
    install -d ${D}${sysconfdir}/rauc
    sed -e 's|@MACHINE@|${MACHINE}|' ${S}/system.conf > ${D}${sysconfdir}/rauc/system.conf
    chmod 0644 ${D}${sysconfdir}/rauc/system.conf
    install -m 0644 ${RAUC_KEYRING_FILE} ${D}${sysconfdir}/rauc/keyring.pem
}
