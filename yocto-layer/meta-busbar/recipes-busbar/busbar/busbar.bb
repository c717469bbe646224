SUMMARY = "Substation appliance for a feeder and its local market"
DESCRIPTION = "Polls the devices of a feeder, estimates its state every second, clears a local \
               market within what the feeder can carry, dispatches the result and settles it."
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

require conf/busbar-version.inc
require ${BPN}-crates.inc

inherit cargo externalsrc systemd useradd

EXTERNALSRC = "${BUSBAR_SOURCE}"

# The web interface is built beforehand, by `cargo xtask ui`: Node and npm's registry are no part of
# this build. Git does not track it, so it has to be named for the build to be done again.
BUSBAR_UI = "${S}/web-ui/dist"
do_compile[file-checksums] += "${BUSBAR_UI}:True"

CARGO_BUILD_FLAGS += "--bins"
# Symbols go into the debug package, not away.
export CARGO_PROFILE_RELEASE_STRIP = "none"
# The sources are outside of the work directory.
RUSTFLAGS += "--remap-path-prefix=${S}=${TARGET_DBGSRC_DIR}"

do_compile:prepend() {
    if [ ! -f "${BUSBAR_UI}/index.html" ]; then
        bbfatal "${BUSBAR_UI} has no web interface: run \`cargo xtask ui\` in ${S} first"
    fi
}

do_install() {
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/busbar ${D}${bindir}/busbar
    install -D -m 0755 ${B}/target/${CARGO_TARGET_SUBDIR}/busbar-sim ${D}${bindir}/busbar-sim

    # The very file of the Debian package. Its busbar@.service is not here: what that one keeps would not
    # be on the state partition.
    install -D -m 0644 ${S}/packaging/deb/debian/busbar.service ${D}${systemd_system_unitdir}/busbar.service
    install -d -m 0755 ${D}${sysconfdir}/busbar

    install -d ${D}${datadir}/busbar-sim
    cp -R --no-preserve=ownership ${S}/sim-rtu/scenarios ${S}/sim-rtu/data ${D}${datadir}/busbar-sim/
}

USERADD_PACKAGES = "${PN}"
USERADD_PARAM:${PN} = "--system --user-group --home-dir ${localstatedir}/lib/busbar --no-create-home \
                       --shell /sbin/nologin --comment 'Busbar appliance' busbar"

SYSTEMD_SERVICE:${PN} = "busbar.service"

PACKAGES =+ "${PN}-sim"
FILES:${PN}-sim += "${bindir}/busbar-sim ${datadir}/busbar-sim"
