# SPDX-License-Identifier: LGPL-2.1-or-later
"""Whatever is wrong with a module is found before the kernel sees it, and each fault has its own name."""

from __future__ import annotations

import json

from lpvm.check import Check, scenario
from lpvm.livepatch import PLAIN, SIGNED, VARIANTS, ctl, drop_in, files, last_error, patches, trust
from lpvm.machine import Machine

# Modules carry no certificate of their signer: each has to be an anchor itself. `trust add` would refuse some of these.
ANCHORS = ("ca", "signer", "expired", "future", "revoked", "wrongeku", "weak")

REFUSED = {
    f"{PLAIN}/lp_cmdline.ko": "Unsigned",
    f"{VARIANTS}/tampered.ko": "SignatureMismatch",
    f"{VARIANTS}/stranger.ko": "UntrustedSigner",
    f"{VARIANTS}/embedded_stranger.ko": "UntrustedSigner",
    f"{VARIANTS}/expired.ko": "SignerExpired",
    f"{VARIANTS}/future.ko": "SignerNotYetValid",
    f"{VARIANTS}/revoked.ko": "Revoked",
    f"{VARIANTS}/wrongeku.ko": "WrongKeyUsage",
    f"{VARIANTS}/weak_sha1.ko": "WeakAlgorithm",
    f"{VARIANTS}/weak_rsa1024.ko": "WeakAlgorithm",
    f"{VARIANTS}/other_kernel.ko": "WrongKernel",
    f"{VARIANTS}/other_architecture.ko": "WrongArchitecture",
    f"{VARIANTS}/not_livepatch.ko": "NotALivepatch",
    f"{VARIANTS}/truncated.ko": "Unsigned",
    f"{VARIANTS}/truncated_then_signed.ko": "MalformedModule",
    f"{VARIANTS}/text_signed.ko": "MalformedModule",
    f"{VARIANTS}/text.ko": "Unsigned",
    f"{VARIANTS}/empty.ko": "MalformedModule",
    f"{VARIANTS}/trailing_garbage.ko": "Unsigned",
    f"{VARIANTS}/garbage_pkcs7.ko": "SignatureMalformed",
    f"{VARIANTS}/sig_len_too_big.ko": "SignatureMalformed",
    f"{VARIANTS}/sig_len_over_file.ko": "SignatureMalformed",
    f"{VARIANTS}/signed_attributes.ko": "SignatureMalformed",
    f"{VARIANTS}/attached_content.ko": "SignatureMalformed",
    f"{VARIANTS}/double_signed_stranger_outside.ko": "UntrustedSigner",
    f"{VARIANTS}/bomb.ko.gz": "TooLarge",
    f"{VARIANTS}/bomb.ko.xz": "TooLarge",
    f"{VARIANTS}/bomb.ko.zst": "TooLarge",
    f"{VARIANTS}/gz_truncated.ko.gz": "MalformedModule",
}


def livepatch_lines(vm: Machine) -> list[str]:
    return [line for line in vm.kmsg().splitlines() if "livepatch:" in line or "lp_cmdline" in line.split("]", 1)[-1]]


@scenario("every bad module is refused by its own name", tags=["core"])
def refused(vm: Machine, check: Check) -> None:
    for name in ANCHORS:
        vm.ok(f"cp /opt/pki/{name}.pem /etc/livepatch/trusted.d/")
    vm.ok("cp /opt/pki/revoked.pem /etc/livepatch/revoked.d/")
    before = livepatch_lines(vm)
    texts: dict[str, str] = {}
    for path, name in REFUSED.items():
        r = ctl(vm, "apply", path)
        check.equal(f"{path.rsplit('/', 1)[-1]} is refused with exit code 5", r.rc, 5, r)
        check.equal(f"{path.rsplit('/', 1)[-1]} is {name}", last_error(vm), name, r)
        texts.setdefault(name, r.err)
    check.equal("each name has its own text", len(set(texts.values())), len(texts), texts)
    check.equal("the kernel's log shows no attempt", livepatch_lines(vm), before)
    check.equal("nothing is left on disk", files(vm), [])
    check.equal("nothing is listed", patches(vm), {})
    check.equal("the daemon is well", vm.ok("systemctl show -P NRestarts livepatchd.service").strip(), "0")


@scenario("inspect judges a file without the daemon and without privilege", tags=["core"])
def inspect(vm: Machine, check: Check) -> None:
    trust(vm)
    vm.ok("systemctl stop livepatchd.service")
    r = ctl(vm, "inspect", f"{SIGNED}/lp_cmdline.ko", user="alice")
    check.equal("a good one passes", r.rc, 0, r)
    for wanted in ("lp_cmdline", "cmdline_proc_show", vm.release, "livepatch test signer"):
        check.contains(f"it tells {wanted}", r.out, wanted)
    r = ctl(vm, "inspect", f"{PLAIN}/lp_cmdline.ko", user="alice")
    check.equal("an unsigned one does not", r.rc, 5, r)
    r = ctl(vm, "inspect", "--json=short", f"{VARIANTS}/tampered.ko", user="alice")
    check.equal("a tampered one does not", r.rc, 5, r)
    check.equal("and says so as JSON", json.loads(r.out)["modules"][0]["signature_status"], "mismatch")
    check("the daemon was not started", vm.run("systemctl is-active livepatchd.service").rc != 0)


@scenario("SignaturePolicy=warn lets an unsigned module in, marked")
def policy_warn(vm: Machine, check: Check) -> None:
    trust(vm)
    drop_in(vm, ["SignaturePolicy=warn"])
    r = ctl(vm, "apply", f"{PLAIN}/lp_cmdline.ko")
    check.equal("an unsigned module is applied", r.rc, 0, r)
    check.contains("it patches", vm.read("/proc/cmdline"), "lp_cmdline")
    check.equal("it is marked", patches(vm)["lp_cmdline"]["signature_status"], "unsigned")
    check.contains("show says so", vm.ok("livepatchctl show lp_cmdline"), "unsigned")
    check.contains("the journal warns", vm.journal("-b", "-u", "livepatchd.service", "-p", "warning"), "although its signature is unsigned")
    vm.reboot()
    check.contains("it is reapplied", vm.read("/proc/cmdline"), "lp_cmdline")
    ctl(vm, "remove", "lp_cmdline")
    check.equal("a tampered one is still refused", ctl(vm, "apply", f"{VARIANTS}/tampered.ko").rc, 5)
    check.equal("that is a mismatch", last_error(vm), "SignatureMismatch")
    drop_in(vm, ["SignaturePolicy=warm"])
    check.equal("a word that is no policy means require", ctl(vm, "apply", f"{PLAIN}/lp_cmdline.ko").rc, 5)
    check.contains("status tells of it", vm.ok("livepatchctl status"), "50-test.conf")


@scenario("a trust anchor that is taken away is taken away at once", tags=["core"])
def untrust(vm: Machine, check: Check) -> None:
    trust(vm)
    ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko")
    fingerprint = vm.read("/opt/pki/signer.sha256").split()[0].replace(":", "").lower()
    check.contains("trust list shows it", vm.ok("livepatchctl trust list"), "livepatch test signer")
    r = ctl(vm, "trust", "remove", fingerprint)
    check.equal("trust remove succeeds", r.rc, 0, r)
    check.equal("what is applied stays applied", patches(vm)["lp_cmdline"]["state"], "applied")
    check.equal("another module of the signer is refused", ctl(vm, "apply", f"{SIGNED}/lp_uptime.ko").rc, 5)
    vm.reboot()
    check.absent("and the next boot refuses the first", vm.read("/proc/cmdline"), "lp_patched_by")
    check.equal("it is shown as failed", patches(vm)["lp_cmdline"]["state"], "failed")
    check.contains("with the reason", vm.ok("livepatchctl show lp_cmdline"), "trust")


@scenario("what the kernel refuses is explained", tags=["core"])
def kernel_refuses(vm: Machine, check: Check) -> None:
    trust(vm)
    r = ctl(vm, "apply", f"{SIGNED}/lp_refuse.ko")
    check.equal("a callback that says no fails", r.rc, 1, r)
    check.contains("the kernel is quoted", r.err, "pre-patch callback failed")
    check.equal("it is shown as failed", patches(vm)["lp_refuse"]["state"], "failed")
    check.contains("show tells the reason", vm.ok("livepatchctl show lp_refuse"), "pre-patch callback failed")
    vm.ok(f"livepatchctl stage --reapply {SIGNED}/lp_refuse.ko")
    r = ctl(vm, "reapply")
    check.equal("reapplying it fails, too", r.rc, 1, r)
    r = ctl(vm, "remove", "lp_refuse")
    check.equal("one that failed can be removed", r.rc, 0, r)
    check.equal("nothing is left", files(vm), [])
    vm.ok("echo 1 > /proc/sys/kernel/modules_disabled")
    r = ctl(vm, "apply", f"{SIGNED}/lp_cmdline.ko")
    check("modules_disabled is named as the cause", r.rc != 0 and "modules_disabled" in r.err, r)
