"""Writes golden.json: what package aead has to produce, computed without it.

HKDF comes from the standard library's hmac, AES-GCM and ChaCha20-Poly1305 from the module cryptography, XChaCha20 from
HChaCha20 as its draft (draft-irtf-cfrg-xchacha-03, 2.2) has it. The rest follows the comment of the package, not its code.

    python3 golden.py > golden.json
"""
import hashlib, hmac, json, struct
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

SUITES = {1: ("aes-256-gcm", 32, 12), 2: ("aes-128-gcm", 16, 12), 3: ("chacha20-poly1305", 32, 12), 4: ("xchacha20-poly1305", 32, 24)}


def hchacha20(key, nonce):
    x = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce))

    def rotate(v, n):
        return ((v << n) | (v >> (32 - n))) & 0xFFFFFFFF

    def quarter(a, b, c, d):
        for p, q, r, n in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[p] = (x[p] + x[q]) & 0xFFFFFFFF
            x[r] = rotate(x[r] ^ x[p], n)

    for _ in range(10):
        for column in range(4):
            quarter(column, 4 + column, 8 + column, 12 + column)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *(x[:4] + x[12:]))


def encrypt(suite, key, nonce, plaintext, ad):
    if suite == 4:
        return ChaCha20Poly1305(hchacha20(key, nonce[:16])).encrypt(bytes(4) + nonce[16:], plaintext, ad)
    return (ChaCha20Poly1305 if suite == 3 else AESGCM)(key).encrypt(nonce, plaintext, ad)


def extract(secret, salt):
    return hmac.new(salt or bytes(32), secret, hashlib.sha256).digest()


def expand(prk, info, size):
    out, block, i = b"", b"", 1
    while len(out) < size:
        block = hmac.new(prk, block + info + bytes([i]), hashlib.sha256).digest()
        out, i = out + block, i + 1
    return out[:size]


def label(use, suite, size, purpose, context=b""):
    p = purpose.encode()
    return b"mtguard aead v1\0" + use.encode() + bytes([0, suite]) + struct.pack(">H", size) + bytes([len(p)]) + p + context


def records(suite, secret, salt, purpose):
    _, key_size, nonce_size = SUITES[suite]
    s = expand(extract(secret, salt), label("record secret", suite, 32, purpose), 32)
    for epoch in range(3):
        key = expand(s, label("record key", suite, key_size, purpose), key_size)
        iv = expand(s, label("record iv", suite, nonce_size, purpose), nonce_size)
        for n in (0, 1, 2, 256):
            nonce = (int.from_bytes(iv, "big") ^ n).to_bytes(nonce_size, "big")
            plaintext, ad = f"record {n} of epoch {epoch}".encode(), f"header {n}".encode()
            yield {"epoch": epoch, "number": n, "plaintext": plaintext.hex(), "ad": ad.hex(),
                   "record": encrypt(suite, key, nonce, plaintext, ad).hex()}
        s = expand(s, label("record next", suite, 32, purpose), 32)


def blob(suite, key, nonce, purpose, plaintext, ad):
    _, key_size, nonce_size = SUITES[suite]
    key_id = hashlib.sha256(key).digest()[:8]
    info = label("blob", suite, key_size + nonce_size, purpose, b"\1" + key_id)
    okm = expand(extract(key, nonce), info, key_size + nonce_size)
    return b"\1" + bytes([suite]) + key_id + nonce + encrypt(suite, okm[:key_size], okm[key_size:], plaintext, ad)


secret, salt, key, nonce = bytes(range(32)), bytes(range(64, 96)), bytes(range(128, 160)), bytes(range(200, 224))
out = {"secret": secret.hex(), "salt": salt.hex(), "key": key.hex(), "nonce": nonce.hex(), "purpose": "golden", "suites": {}, "derived": []}
for suite, (name, _, _) in SUITES.items():
    out["suites"][name] = {
        "id": suite,
        "records": list(records(suite, secret, salt, "golden")),
        "blobs": [{"plaintext": p.hex(), "ad": a.hex(), "blob": blob(suite, key, nonce, "golden", p, a).hex()}
                  for p, a in ((b"", b""), (b"one", b""), (b"", b"table|row"), (bytes(range(100)), b"table|row|column"))],
    }
for size, s, purpose in ((16, b"", "golden"), (32, b"", "golden"), (32, salt, "golden"), (33, salt, "golden two"), (8160, salt, "x" * 64)):
    okm = expand(extract(secret, s), label("derive", 0, size, purpose), size)
    out["derived"].append({"size": size, "salt": s.hex(), "purpose": purpose, "sha256": hashlib.sha256(okm).hexdigest()})
print(json.dumps(out, indent=1))
