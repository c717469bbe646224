# Only in our own distro: a build that merely has the layer keeps its kernel.
FILESEXTRAPATHS:prepend:busbar := "${THISDIR}/files:"
SRC_URI:append:busbar = " file://busbar.cfg"
