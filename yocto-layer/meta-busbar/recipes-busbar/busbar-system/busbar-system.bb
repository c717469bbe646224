SUMMARY = "What makes a system of packages a substation appliance"
DESCRIPTION = "The state partition, the firewall, the watchdog, time, safe updates, and the checks \
               that an appliance is accepted by."
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${BUSBAR_SOURCE}/LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

require conf/busbar-version.inc

SRC_URI = "\
    file://acceptance.conf \
    file://busbar-chrony.conf \
    file://busbar-firewall \
    file://busbar-firewall.conf \
    file://busbar-firewall.service \
    file://busbar-health \
    file://busbar-health.service \
    file://busbar-mark-good.conf \
    file://busbar-mounts.conf \
    file://busbar-time.conf \
    file://busbar-tmpfiles.conf \
    file://busbar-update \
    file://busbar-watchdog.conf \
    file://data.mount \
    file://etc-busbar.mount \
    file://firewall.nft \
    file://grubenv.mount \
    file://var-lib-busbar.mount \
    file://var-lib-chrony.mount \
"

inherit features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd"

S = "${UNPACKDIR}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# name-of-the-unit:drop-in
BUSBAR_DROP_INS = "\
    busbar.service:busbar-firewall.conf \
    busbar.service:busbar-mounts.conf \
    chronyd.service:busbar-time.conf \
    rauc-mark-good.service:busbar-mark-good.conf \
"

do_install() {
    for script in busbar-firewall busbar-health; do
        install -D -m 0755 ${S}/$script ${D}${libexecdir}/$script
    done
    install -D -m 0755 ${S}/busbar-update ${D}${sbindir}/busbar-update
    for unit in busbar-firewall.service busbar-health.service data.mount etc-busbar.mount \
            grubenv.mount var-lib-busbar.mount var-lib-chrony.mount; do
        install -D -m 0644 ${S}/$unit ${D}${systemd_system_unitdir}/$unit
    done
    for both in ${BUSBAR_DROP_INS}; do
        file=${both#*:}
        install -D -m 0644 ${S}/$file ${D}${systemd_system_unitdir}/${both%%:*}.d/$file
    done
    install -D -m 0644 ${S}/busbar-watchdog.conf ${D}${nonarch_libdir}/systemd/system.conf.d/busbar-watchdog.conf
    install -D -m 0644 ${S}/busbar-tmpfiles.conf ${D}${nonarch_libdir}/tmpfiles.d/busbar.conf
    install -D -m 0644 ${S}/busbar-chrony.conf ${D}${datadir}/busbar-system/chrony.conf
    install -D -m 0644 ${S}/firewall.nft ${D}${datadir}/busbar-system/firewall.nft
    install -D -m 0644 ${S}/acceptance.conf ${D}${sysconfdir}/cukinia/cukinia.conf
    # Mounted upon: the system cannot make them itself, it is read-only.
    install -d ${D}/data ${D}/grubenv ${D}${localstatedir}/lib/busbar ${D}${localstatedir}/lib/chrony
}

SYSTEMD_SERVICE:${PN} = "\
    busbar-firewall.service \
    busbar-health.service \
    data.mount \
    etc-busbar.mount \
    grubenv.mount \
    var-lib-busbar.mount \
    var-lib-chrony.mount \
"

FILES:${PN} += "\
    /data \
    /grubenv \
    ${localstatedir}/lib/busbar \
    ${localstatedir}/lib/chrony \
    ${nonarch_libdir}/systemd/system.conf.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${systemd_system_unitdir} \
"

RDEPENDS:${PN} = "busbar busbar-site chrony cukinia grub-editenv linuxptp nftables rauc rauc-mark-good rauc-service"
