"""Has BitBake's own parser read the layer: parse.py LAYER BUSBAR_VERSION.

Classes and includes of other layers are not here: they are empty files, but for what our recipes take
of them. So this shows that what is written is BitBake's language, that its fetcher takes every crate, and what the
expressions come to; not that the other layers have what they are asked for.
"""

import glob
import os
import re
import sys
import tempfile
import types

# A server of BitBake's, which the package does not have and parsing does not need.
for name in ["hashserv", "hashserv.client"]:
    sys.modules[name] = types.ModuleType(name)

import bb
import bb.data
import bb.fetch2
import bb.parse
import bb.siggen

CLASSES = (
    "allarch bundle cargo core-image deploy externalsrc extrausers features_check systemd useradd"
).split()
INCLUDES = ["conf/distro/include/security_flags.inc", "conf/image-uefi.conf"]
# OpenEmbedded-Core's bitbake.conf, as far as the recipes lean on it.
CORE = """
DISTROOVERRIDES ?= "${DISTRO}"
OVERRIDES = "${DISTROOVERRIDES}:pn-${PN}:class-target"
FILE_DIRNAME = "${@os.path.dirname(d.getVar('FILE', False))}"
PN = "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0] or 'none'}"
BPN = "${PN}"
WORKDIR = "/tmp/work"
UNPACKDIR = "${WORKDIR}/sources"
S = "${UNPACKDIR}"
B = "${S}"
DL_DIR = "/tmp/downloads"
FILESPATH = "${FILE_DIRNAME}/files"
MACHINE = "qemux86-64"
MACHINE_ARCH = "qemux86_64"
EFI_BOOT_IMAGE = "bootx64.efi"
"""


def other_layers():
    """A folder with what is not ours."""
    root = tempfile.mkdtemp()
    for name in CLASSES:
        write(root, f"classes/{name}.bbclass", "")
    for name in INCLUDES:
        write(root, name, "")
    write(root, "conf/core.conf", CORE)
    write(root, "classes/base.bbclass", "")
    return root


def write(root, name, text):
    path = os.path.join(root, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def configured(layer, root, settings):
    """The data that recipes are read with."""
    d = bb.data.init()
    bb.parse.siggen = bb.siggen.init(d)
    d.setVar("BBPATH", f"{layer}:{root}")
    d.setVar("LAYERDIR", layer)
    for name, value in settings.items():
        d.setVar(name, value)
    for name in ["conf/layer.conf", "conf/core.conf", "conf/distro/busbar.conf"]:
        d = bb.parse.handle(bb.utils.which(d.getVar("BBPATH"), name), d, True)
    # As bb.cookerdata says before it reads recipes.
    d.setVar("__bbclasstype", "recipe")
    return d


def recipe(path, d):
    """A recipe read by BitBake. Everything in it is expanded once, which fails where an expression does."""
    read = bb.parse.handle(path, d.createCopy())[""]
    for name in list(read.keys()):
        if not read.getVarFlag(name, "python", False):
            read.getVar(name)
    return read


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found!r}, not {wanted!r}")


def main(layer, version):
    root = other_layers()
    settings = {"BUSBAR_ROOT_HASH": "$6$salt$hash", "RAUC_KEYRING_FILE": "/keyring.pem"}
    d = configured(layer, root, settings)
    source = os.path.realpath(os.path.join(layer, "../.."))
    expect("BUSBAR_SOURCE", d.getVar("BUSBAR_SOURCE"), source)
    recipes = {}
    for path in sorted(glob.glob(f"{layer}/recipes-*/*/*.bb")):
        read = recipe(path, d)
        name = read.getVar("PN")
        recipes[name] = read
        expect(f"{name}: PV", read.getVar("PV"), version)
        for licence in (read.getVar("LIC_FILES_CHKSUM") or "").split():
            file = re.sub(r"^file://|;.*$", "", licence)
            file = file if file.startswith("/") else os.path.join(source, file)
            wanted = licence.partition("md5=")[2]
            expect(f"{name}: LIC_FILES_CHKSUM", bb.utils.md5_file(file), wanted)

    busbar = recipes["busbar"]
    uris = busbar.getVar("SRC_URI").split()
    fetcher = bb.fetch2.Fetch(uris, busbar)
    lacking = [u for u in fetcher.urls if not fetcher.ud[u].sha256_expected]
    expect("crates without a checksum", lacking, [])
    expect("all are crates", {fetcher.ud[u].type for u in fetcher.urls}, {"crate"})
    expect("EXTERNALSRC", busbar.getVar("EXTERNALSRC"), source)

    image = recipes["busbar-image"]
    expect("root", image.getVar("EXTRA_USERS_PARAMS"), r"usermod -p '\$6\$salt\$hash' root;")
    expect("size", image.getVar("IMAGE_ROOTFS_SIZE"), str(1024 * 1024 - 65536))
    expect("bundle", recipes["busbar-bundle"].getVar("RAUC_BUNDLE_VERSION"), version)
    bare = configured(layer, root, {})
    path = glob.glob(f"{layer}/recipes-*/*/busbar-image.bb")[0]
    expect("locked", recipe(path, bare).getVar("EXTRA_USERS_PARAMS"), "usermod -L root;")

    kernels(layer, d)
    print(f"BitBake reads {len(recipes)} recipes, {len(uris)} crates")


def kernels(layer, d):
    """Our distro's kernel gets the fragment, any other's is as it was."""
    append = glob.glob(f"{layer}/recipes-kernel/linux/*.bbappend")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "linux-yocto.bb")
        with open(append, encoding="utf-8") as text:
            body = text.read()
        write(folder, "linux-yocto.bb", 'SRC_URI = "git://kernel"\nFILESEXTRAPATHS = ""\n' + body)
        for distro, wanted in [("busbar", "git://kernel file://busbar.cfg"), ("other", "git://kernel")]:
            of = d.createCopy()
            of.setVar("DISTRO", distro)
            read = bb.parse.handle(path, of)[""]
            expect(f"{distro}'s kernel", read.getVar("SRC_URI"), wanted)
            if distro == "other":
                expect("its paths", read.getVar("FILESEXTRAPATHS"), "")


main(os.path.abspath(sys.argv[1]), sys.argv[2])
