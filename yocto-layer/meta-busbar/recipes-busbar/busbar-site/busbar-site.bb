SUMMARY = "Configuration of one site"
DESCRIPTION = "The site file, its network and the sources of time, as they are before anybody \
               changes them on the appliance. Empty where BUSBAR_SITE is: such an appliance is \
               unconfigured."
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://${BUSBAR_SOURCE}/LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

require conf/busbar-version.inc

inherit allarch

BUSBAR_SITE ??= ""
do_install[file-checksums] += "${@'${BUSBAR_SITE}:True' if d.getVar('BUSBAR_SITE') else ''}"

S = "${UNPACKDIR}"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

# Not into /etc: that lies on the state partition, and what is changed there is not to be
# overwritten. A fresh state partition gets a copy (tmpfiles.d of busbar-system).
do_install() {
    install -d ${D}${datadir}/busbar-site
    if [ -n "${BUSBAR_SITE}" ]; then
        [ -f "${BUSBAR_SITE}/site.toml" ] || bbfatal "${BUSBAR_SITE} has no site.toml"
        cp -R --no-preserve=ownership,mode ${BUSBAR_SITE}/. ${D}${datadir}/busbar-site/
    fi
}
