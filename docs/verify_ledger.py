#!/usr/bin/env python3
"""Checks an export of a Busbar ledger: order, hashes, signatures (docs/ledger.md).

    verify_ledger.py EXPORT [PUBLIC_KEY ...]

Needs Python 3.8 and nothing else. Exit status 0 if everything is as it was written, 65 if not.
Signatures have to be of one of the keys, if any are given; otherwise compare those it prints.
Ed25519 is RFC 8032, section 5.1; slow, but an auditor has time.
"""

import hashlib
import json
import re
import sys

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def recover_x(y, sign):
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if x2 == 0:
        return None if sign else 0
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    if (x * x - x2) % P:
        return None
    return P - x if x & 1 != sign else x


def decompress(octets):
    y = int.from_bytes(octets, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    x = recover_x(y, sign)
    return None if x is None else (x, y, 1, x * y % P)


def add(a, b):
    u, v = (a[1] - a[0]) * (b[1] - b[0]) % P, (a[1] + a[0]) * (b[1] + b[0]) % P
    c, d = 2 * a[3] * b[3] * D % P, 2 * a[2] * b[2] % P
    e, f, g, h = v - u, d - c, d + c, v + u
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(k, point):
    result = (0, 1, 1, 0)
    while k:
        if k & 1:
            result = add(result, point)
        point, k = add(point, point), k >> 1
    return result


Y = 4 * pow(5, P - 2, P) % P
BASE = (recover_x(Y, 0), Y, 1, recover_x(Y, 0) * Y % P)


def signed(key, message, signature):
    a, r = decompress(key), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or r is None or s >= ORDER:
        return False
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % ORDER
    left, right = multiply(s, BASE), add(r, multiply(h, a))
    return (left[0] * right[2] - right[0] * left[2]) % P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % P == 0


HEX = rb"[0-9a-f]{64}"
NUMBER = rb"0|-?[1-9][0-9]*"
HEAD = re.compile(rb'{"busbar_ledger":2,"first":(0|[1-9][0-9]*),"previous":"(%s)","key":"(%s)"}' % (HEX, HEX))
BODY = re.compile(rb'{"n":(0|[1-9][0-9]*),"at_us":(%s),"hash":"(%s)","record":({.*})}' % (NUMBER, HEX), re.DOTALL)
FOOT = re.compile(rb'{"last":(0|[1-9][0-9]*),"hash":"(%s)","signature":"([0-9a-f]{128})"}' % HEX)


class Fault(Exception):
    pass


def check(lines, expected):
    def match(form, at):
        found = form.fullmatch(lines[at])
        if found is None:
            raise Fault(f"line {at + 1}: not written as it should be")
        return found.groups()

    def vouched(key, message, signature, where):
        if not signed(bytes.fromhex(key), message, bytes.fromhex(signature)):
            raise Fault(f"{where}: the signature is not of key {key}, or not of this chain")
        if expected and key not in expected:
            raise Fault(f"{where}: signed with key {key}, which is not one of those expected")
        keys.add(key)

    keys, checkpoints = set(), 0
    first, start, key = match(HEAD, 0)
    start = previous = bytes.fromhex(start.decode())
    first = number = int(first)
    for at in range(1, len(lines) - 1):
        n, at_us, hash_, record = match(BODY, at)
        if int(n) != number:
            raise Fault(f"line {at + 1}: record {int(n)} stands where record {number} should be")
        stamp = number.to_bytes(8, "big") + int(at_us).to_bytes(8, "big", signed=True)
        computed = hashlib.sha256(previous + stamp + record).digest()
        if computed != bytes.fromhex(hash_.decode()):
            raise Fault(f"line {at + 1}: record {number} is not what was written")
        content = json.loads(record)
        if content["record"] == "checkpoint":
            message = b"busbar ledger checkpoint\n" + stamp + previous
            vouched(content["key"], message, content["signature"], f"record {number}")
            checkpoints += 1
        previous, number = computed, number + 1
    last, hash_, signature = match(FOOT, len(lines) - 1)
    if int(last) != max(number - 1, 0) or bytes.fromhex(hash_.decode()) != previous:
        raise Fault(f"the export should end with record {int(last)}, not {number - 1}")
    message = b"busbar ledger export\n" + first.to_bytes(8, "big") + start
    message += int(last).to_bytes(8, "big") + previous
    vouched(key.decode(), message, signature.decode(), "the last line")
    print(f"{number - first} records in order, {checkpoints} checkpoints among them")
    if number > first:
        print(f"last record {number - 1}, hash {previous.hex()}")
    for key in sorted(keys):
        print(f"signed with key {key}")
    if not expected:
        print("whose key that is, nobody has said: compare it, or name it")


def main(arguments):
    if not arguments:
        print(__doc__.strip(), file=sys.stderr)
        return 2
    with open(arguments[0], "rb") as file:
        text = file.read()
    try:
        lines = text.split(b"\n")
        if len(lines) < 3 or lines.pop() != b"":
            raise Fault("it does not end")
        check(lines, arguments[1:])
    except (Fault, ValueError, KeyError, TypeError, OverflowError) as error:
        print(f"{arguments[0]}: {error}", file=sys.stderr)
        return 65
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
