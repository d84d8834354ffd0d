# SPDX-License-Identifier: BSD-2-Clause
"""Revoked host keys: key revocation lists, with ssh-keygen(1) as the oracle."""

from __future__ import annotations

import errno
import hashlib
import os
import random
import struct
import time
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sshgateway import _files
from sshgateway._public_keys import fingerprint, line_of
from sshgateway._trust import canonical_keys, krl
from sshgateway._trust.certificates import Certificate
from sshgateway._trust.krl import MAGIC
from sshgateway._trust.revocation import Revocation, RevokedKeys
from sshgateway._wire import Reader
from support.revocation import BITS, add_to_krl, blob_of, make_key, query_krl, sign

#: The serial number and key ID of certificates of each authority.
NUMBERED = [(0, "zero"), (1, "one"), (70, "b\\303"), (2**40, "a id"), (2**64 - 1, "last")]


@dataclass(frozen=True)
class Keys:
    """Public key files."""

    plain: list[Path]
    authorities: list[Path]
    certificates: list[Path]

    @property
    def all(self) -> list[Path]:
        return self.plain + self.authorities + self.certificates


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    directory = tmp_path_factory.mktemp("keys")
    plain = [make_key(directory / f"{kind}{each}", kind) for kind in BITS for each in "ab"]
    authorities = [make_key(directory / f"ca-{kind}", kind) for kind in BITS]
    rng = random.Random(1)
    certificates = [
        sign(rng.choice(plain), ca, f"{ca.stem}-{serial}", "-z", serial, key_id=key_id)
        for ca in authorities
        for serial, key_id in NUMBERED
    ]
    return Keys(plain, authorities, certificates)


def check(path: Path, key: Path | bytes) -> Revocation | None:
    return RevokedKeys([path]).check(key if isinstance(key, bytes) else blob_of(key))


def assert_as_ssh_keygen(krl: Path, publics: list[Path]) -> list[bool] | None:
    """Our verdict on each key is that of ``ssh-keygen -Q``, which is returned."""
    expected = query_krl(krl, publics)
    results = [check(krl, public) for public in publics]
    if expected is None:
        assert all(result and result.is_unreadable for result in results), results
    else:
        assert [result is not None for result in results] == expected
        assert not any(result and result.is_unreadable for result in results)
    return expected


# ---- Lists that ssh-keygen writes ------------------------------------------------------------


def random_spec(rng: random.Random, keys: Keys) -> Iterator[str]:
    """Lines of a specification of ssh-keygen(1), KEY REVOCATION LISTS."""
    base = rng.choice([1, 60, 2**40 - 5, 2**64 - 200])
    for _ in range(rng.randrange(8)):
        serial = base + rng.randrange(150)
        match rng.randrange(8):
            case 0 | 1:
                yield f"serial: {serial}"
            case 2:
                yield f"serial: {serial}-{serial + rng.randrange(1, 50)}"
            case 3:
                yield f"id: {rng.choice(NUMBERED)[1]}"
            case 4:
                yield f"hash: {fingerprint(blob_of(rng.choice(keys.plain)))}"
            case _:
                kind = rng.choice(["key", "sha1", "sha256"])
                yield f"{kind}: {line_of(blob_of(rng.choice(keys.plain + keys.authorities)))}"
    for serial in range(base, base + rng.choice([0, 0, 400]), rng.randrange(2, 9)):
        yield f"serial: {serial % 2**64 or 1}"


@pytest.mark.parametrize("seed", range(40))
def test_every_key_of_a_list_of_ssh_keygen(tmp_path: Path, keys: Keys, seed: int) -> None:
    rng, krl = random.Random(seed), tmp_path / "krl"
    for _ in range(rng.randrange(1, 5)):
        add_to_krl(krl, random_spec(rng, keys), rng.choice([None, *keys.authorities]))
    assert assert_as_ssh_keygen(krl, keys.all) is not None


def test_the_reason_says_which_entry_revokes(tmp_path: Path, keys: Keys) -> None:
    ca, certificate = keys.authorities[0], keys.certificates[1]
    key = line_of(Certificate.parse(blob_of(certificate)).key)
    for number, (line, reason) in enumerate(
        [
            ("serial: 1", "its serial number 1 is revoked"),
            ("id: one", "its key ID 'one' is revoked"),
            (f"key: {key}", "the key is revoked"),
            (f"sha1: {key}", "the key is revoked by its SHA-1 fingerprint"),
            (f"sha256: {key}", "the key is revoked by its SHA-256 fingerprint"),
            (f"key: {line_of(blob_of(ca))}", "its CA key is revoked"),
            (
                f"sha256: {line_of(blob_of(ca))}",
                "its CA key is revoked by its SHA-256 fingerprint",
            ),
        ]
    ):
        krl = tmp_path / str(number)
        add_to_krl(krl, [line], ca)
        assert check(krl, certificate) == Revocation(str(krl), reason)
        assert str(check(krl, certificate)) == f"{reason} in {krl}"
        assert assert_as_ssh_keygen(krl, [certificate]) == [True]


# ---- Lists that ssh-keygen does not write ----------------------------------------------------


def u64(value: int) -> bytes:
    return struct.pack(">Q", value)


def string(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def section(kind: int, *parts: bytes) -> bytes:
    return bytes([kind]) + string(b"".join(parts))


def krl_of(*sections: bytes, version: int = 1, comment: bytes = b"") -> bytes:
    header = struct.pack(">IQQQ", version, 7, 1700000000, 0)
    return MAGIC + header + string(b"reserved") + string(comment) + b"".join(sections)


def certificates_of(ca: bytes, *subsections: bytes) -> bytes:
    return section(1, string(ca), string(b""), *subsections)


def a_serial(rng: random.Random) -> int:
    smallest = 0 if rng.random() < 0.03 else 1
    return rng.choice([smallest, 1, 2, 69, 70, 71, 2**40, 2**64 - 2, 2**64 - 1])


def a_serial_list(rng: random.Random) -> bytes:
    return b"".join(u64(a_serial(rng)) for _ in range(rng.randrange(5)))


def a_serial_range(rng: random.Random) -> bytes:
    serials = [a_serial(rng), a_serial(rng)]
    return b"".join(map(u64, serials if rng.random() < 0.1 else sorted(serials)))


def a_bitmap(rng: random.Random) -> bytes:
    bits = rng.getrandbits(rng.choice([1, 2, 8, 63, 1000]))
    if rng.random() < 0.05:
        bits |= 1 << (rng.choice([16383, 16384]))
    number = bits.to_bytes((bits.bit_length() + 7) // 8)
    if rng.random() < 0.8:  # else it may be negative
        number = b"\0" + number
    return u64(rng.choice([0, a_serial(rng) - 1, a_serial(rng)]) % 2**64) + string(number)


def key_ids(rng: random.Random) -> bytes:
    names = [b"one", b"zero\0", b"", b"last", b"a id", b"an\0 id"]
    return b"".join(string(names[rng.randrange(rng.choice([5, 5, 5, 6]))]) for _ in range(3))


SUBSECTIONS: dict[int, Callable[[random.Random], bytes]] = {
    0x20: a_serial_list,
    0x21: a_serial_range,
    0x22: a_bitmap,
    0x23: key_ids,
}


def a_certificate_section(rng: random.Random, keys: Keys) -> bytes:
    authority = rng.choice([b"", *map(blob_of, keys.authorities)])
    if rng.random() < 0.1:
        authority = rng.choice(list(odd_keys(keys)))
    kinds = rng.choices(list(SUBSECTIONS), k=rng.randrange(4))
    subsections = [section(kind, SUBSECTIONS[kind](rng)) for kind in kinds]
    if rng.random() < 0.03:
        subsections.append(section(rng.choice([0x20, 0x21, 0x22, 0x23, 0x24]), b"\0" * 9))
    return certificates_of(authority, *subsections)


def odd_keys(keys: Keys) -> Iterator[bytes]:
    """Blobs that are not the key of an authority, or in another encoding."""
    yield blob_of(keys.certificates[0])
    yield from (blob_of(key) + b"\0" for key in keys.authorities)
    yield from (blob_of(key)[:-1] + b"\0" for key in keys.authorities)
    yield from (blob_of(key)[:-1] for key in keys.authorities)
    exponent, modulus = b"\1\0\1", blob_of(keys.authorities[2])[-256:]
    for number in (b"\0\0" + modulus, modulus, b"\0" + modulus[:128], b"\0" + modulus[:127]):
        yield string(b"ssh-rsa") + string(b"\0" + exponent) + string(number)
    yield string(b"ssh-ed448") + string(bytes(57))


def random_sections(rng: random.Random, keys: Keys) -> Iterator[bytes]:
    for _ in range(rng.randrange(5)):
        blobs = [blob_of(rng.choice(keys.all)) for _ in range(rng.randrange(3))]
        odd_length = b"\0" * (rng.random() < 0.03)
        match rng.randrange(6):
            case 0:
                yield section(2, *map(string, blobs))
            case 1 | 2 as which:
                kind, name = ((3, "sha1"), (5, "sha256"))[which - 1]
                digests = [hashlib.new(name, blob).digest() + odd_length for blob in blobs]
                yield section(kind, *map(string, digests))
            case _:
                yield a_certificate_section(rng, keys)
    if rng.random() < 0.04:
        yield section(rng.choice([0, 2, 3, 5, 6]), b"\0\0\0\1")


@pytest.mark.parametrize("seed", range(10))
def test_random_sections(tmp_path: Path, keys: Keys, seed: int) -> None:
    """Also those that are invalid."""
    rng, krl = random.Random(seed), tmp_path / "krl"
    verdicts = []
    for _ in range(40):
        krl.write_bytes(krl_of(*random_sections(rng, keys)))
        verdicts.append(assert_as_ssh_keygen(krl, keys.all))
    assert None in verdicts
    assert any(verdict and True in verdict for verdict in verdicts)


def a_list_of_everything(keys: Keys) -> bytes:
    digest = hashlib.sha256(blob_of(keys.plain[0])).digest()
    return krl_of(
        certificates_of(
            blob_of(keys.authorities[1]),
            section(0x20, u64(1), u64(2**40)),
            section(0x21, u64(5), u64(77)),
            section(0x22, u64(2**64 - 9), string(b"\1\xff")),
            section(0x23, string(b"one"), string(b"last\0")),
        ),
        certificates_of(b"", section(0x20, u64(9))),
        section(2, string(blob_of(keys.plain[1])), string(b"any")),
        section(3, string(bytes(20))),
        section(5, string(digest)),
        comment=b"a comment\0",
    )


def test_every_truncation(tmp_path: Path, keys: Keys) -> None:
    whole, krl = a_list_of_everything(keys), tmp_path / "krl"
    some = [keys.plain[0], keys.certificates[6]]
    for length in range(len(MAGIC), len(whole) + 1):
        krl.write_bytes(whole[:length])
        assert_as_ssh_keygen(krl, some)
    # Without its magic it is a text. An empty text revokes nothing, as in sshkey_in_file().
    for length in range(len(MAGIC)):
        krl.write_bytes(whole[:length])
        result = check(krl, some[0])
        assert (result and result.is_unreadable) == (True if length else None)


@pytest.mark.parametrize("seed", range(3))
def test_every_changed_byte(tmp_path: Path, keys: Keys, seed: int) -> None:
    whole, krl, rng = a_list_of_everything(keys), tmp_path / "krl", random.Random(seed)
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= rng.choice([1 << rng.randrange(8), rng.randrange(1, 256)])
        krl.write_bytes(changed)
        assert_as_ssh_keygen(krl, [keys.plain[0], keys.certificates[6]])


def test_every_other_byte_gives_a_verdict(monkeypatch, keys: Keys) -> None:
    whole, presented = a_list_of_everything(keys), blob_of(keys.certificates[6])
    revoked = RevokedKeys(["/krl"])
    for at in range(len(whole)):
        for value in range(at % 11, 256, 11):
            changed = whole[:at] + bytes([value]) + whole[at + 1 :]
            monkeypatch.setattr(_files, "read", lambda path, data=changed: data)
            assert isinstance(revoked.check(presented), (Revocation, type(None)))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (krl_of(version=2), "format version 2"),
        (krl_of(section(4, b"key")), "type 4 is not supported"),
        (krl_of(section(255, string(b"x@y"), b"\1", string(b""))), "critical extension 'x@y'"),
        (krl_of(section(255, string(b"x@y"), b"\0", string(b""), b"x")), "bytes at its end"),
        (krl_of(section(255, string(b"x\0y"), b"\0", string(b""))), "a zero byte"),
        (krl_of(certificates_of(b"", section(0x39, string(b"x"), b"\2", string(b"")))), "'x'"),
        (krl_of(section(3, string(bytes(21)))), "another length"),
        (krl_of(certificates_of(b"", section(0x22, u64(2**64 - 1), string(b"\2")))), "bitmap"),
        (krl_of(certificates_of(b"", section(0x22, u64(0), string(b"\3")))), "serial number"),
        (krl_of(certificates_of(b"", section(0x22, u64(1), string(b"\x80")))), "negative"),
        (krl_of(certificates_of(b"", section(0x22, u64(1), string(b"\1" * 2049)))), "16384"),
        (krl_of(certificates_of(b"", section(0x20, u64(1), u64(0)))), "serial number 0"),
        (krl_of(certificates_of(b"", section(0x20, u64(1)[:7]))), "truncated"),
        (krl_of(certificates_of(b"", section(0x21, u64(0), u64(5)))), "range"),
        (krl_of(certificates_of(b"", section(0x21, u64(6), u64(5)))), "range"),
        (krl_of(certificates_of(b"", section(0x21, u64(6), u64(7), b"\0"))), "bytes at its end"),
        (krl_of(certificates_of(b"key")), "certification authority"),
        (krl_of(section(5, string(bytes(32)), b"\1")), "another length"),
        (krl_of() + b"\2", "in the middle"),
    ],
)
def test_an_invalid_list_revokes_every_key(tmp_path, keys, data: bytes, words: str) -> None:
    krl = tmp_path / "krl"
    krl.write_bytes(data)
    result = check(krl, keys.plain[0])
    assert result is not None
    assert (result.is_unreadable, result.errno) == (True, errno.EINVAL)
    assert words in result.reason
    assert query_krl(krl, [keys.plain[0]]) is None
    assert "key revocation list" in result.reason


def test_the_longest_bitmap(tmp_path: Path, keys: Keys) -> None:
    krl = tmp_path / "krl"
    bitmap = section(0x22, u64(1), string(b"\0" + b"\xff" * 2048))
    krl.write_bytes(krl_of(certificates_of(b"", bitmap)))
    assert assert_as_ssh_keygen(krl, keys.certificates[:3]) == [False, True, True]


def test_a_certificate_in_place_of_an_authority_has_no_effect(tmp_path: Path, keys) -> None:
    """Even a certificate of the key of the authority."""
    ca, krl = keys.authorities[0], tmp_path / "krl"
    for authority, expected in [(sign(ca, ca, "self"), [False, False]), (ca, [False, True])]:
        krl.write_bytes(krl_of(certificates_of(blob_of(authority), section(0x20, u64(1)))))
        assert assert_as_ssh_keygen(krl, keys.certificates[:2]) == expected


def test_the_certified_key_is_no_authority(tmp_path: Path, keys: Keys) -> None:
    certificate, krl = keys.certificates[1], tmp_path / "krl"
    key = Certificate.parse(blob_of(certificate)).key
    krl.write_bytes(krl_of(certificates_of(key, section(0x20, u64(1)))))
    assert assert_as_ssh_keygen(krl, [certificate]) == [False]


def test_an_authority_in_another_encoding(tmp_path: Path, keys: Keys) -> None:
    krl, verdicts = tmp_path / "krl", []
    for authority in keys.authorities:
        for encoding in other_encodings(authority):
            krl.write_bytes(krl_of(certificates_of(encoding, section(0x20, u64(1)))))
            verdicts.append(assert_as_ssh_keygen(krl, keys.certificates))
    assert None in verdicts
    assert any(verdict and True in verdict for verdict in verdicts)  # zeros before an integer


@pytest.mark.parametrize("name", ["nistp256", "nistp384", "nistp521"])
def test_the_points_of_a_curve(tmp_path: Path, keys: Keys, name: str) -> None:
    """Those that OpenSSH refuses as the key of an authority: near the ends of the coordinates."""
    curve = canonical_keys._CURVES[name.encode()]
    verdicts = []
    for first in (1, 2 ** (curve.order.bit_length() - 2), curve.order - 1, curve.prime - 50):
        for x in range(first, min(first + 20, curve.prime)):
            y = curve.root(curve.y_squared(x), 0)
            point = b"\4" + x.to_bytes(curve.size) + y.to_bytes(curve.size)
            key = b"".join(map(string, (b"ecdsa-sha2-" + name.encode(), name.encode(), point)))
            (tmp_path / "krl").write_bytes(krl_of(certificates_of(key)))
            verdicts.append(assert_as_ssh_keygen(tmp_path / "krl", keys.plain[:1]))
    assert None in verdicts
    assert [False] in verdicts


def test_a_fingerprint_is_found_at_its_place_only() -> None:
    data = b"ab" + b"xa" + b"bx"
    assert krl._is_at_multiple(data, b"ab", 2)
    assert not krl._is_at_multiple(data, b"bx", 3)
    assert not krl._is_at_multiple(data[1:], b"ab", 3)


def test_an_extension_that_is_not_critical_is_ignored(tmp_path: Path, keys: Keys) -> None:
    """As in OpenSSH 9.4 and newer."""
    krl, extension = tmp_path / "krl", [string(b"x@y"), b"\0", string(b"anything")]
    revoked = section(0x20, u64(1))
    krl.write_bytes(
        krl_of(section(255, *extension), certificates_of(b"", section(0x39, *extension), revoked))
    )
    assert check(krl, keys.certificates[0]) is None
    assert check(krl, keys.certificates[1]) is not None


# ---- Encodings -------------------------------------------------------------------------------


def other_encodings(key: Path) -> Iterator[bytes]:
    """Other encodings of a key that OpenSSL or libssh2 may read."""
    blob = blob_of(key)
    yield blob + b"more"
    reader = Reader(blob)
    kind, first, second = reader.string(), reader.string(), None
    if kind == b"ssh-rsa":
        second = reader.string()
        yield string(kind) + string(b"\0" + first) + string(b"\0\0" + second)
        yield string(kind) + string(first) + string(second.lstrip(b"\0"))
    elif kind.startswith(b"ecdsa"):
        point = reader.string()
        size, parity = len(point) // 2, point[-1] & 1
        yield string(kind) + string(first) + string(bytes([2 + parity]) + point[1 : 1 + size])
        yield string(kind) + string(first) + string(bytes([6 + parity]) + point[1:])


@pytest.fixture(scope="module", params=["ed25519", "rsa", "256", "384", "521"])
def encoded(request, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two keys of a type."""
    directory, kind = tmp_path_factory.mktemp("encoded"), request.param
    options = ["ecdsa", "-b", kind] if kind.isdigit() else [kind]
    return make_key(directory / "a", *options), make_key(directory / "b", *options)


@pytest.mark.parametrize("how", ["key", "sha1", "sha256", "text"])
def test_no_other_encoding_hides_a_revoked_key(tmp_path: Path, encoded, how: str) -> None:
    revoked, other = encoded
    listed = tmp_path / "listed"
    if how == "text":
        listed.write_text(revoked.read_text())
    else:
        add_to_krl(listed, [f"{how}: {revoked.read_text()}"], None)
    assert check(listed, revoked)
    for encoding in other_encodings(revoked):
        result = check(listed, encoding)
        assert result is not None
        assert not result.is_unreadable
    for encoding in other_encodings(other):
        assert check(listed, encoding) is None


def test_a_key_that_is_listed_in_another_encoding(tmp_path: Path, encoded) -> None:
    revoked, other = encoded
    for encoding in other_encodings(revoked):
        krl = tmp_path / "krl"
        krl.write_bytes(krl_of(section(2, string(b"any"), string(encoding))))
        assert check(krl, revoked) == Revocation(str(krl), "the key is revoked")
        assert check(krl, other) is None


@pytest.mark.parametrize("blob", [b"", b"key", string(b"ssh-ed25519") + string(b"short")])
def test_a_host_key_that_cannot_be_read_is_refused(tmp_path: Path, blob: bytes) -> None:
    (tmp_path / "empty").touch()
    result = check(tmp_path / "empty", blob)
    assert result is not None
    assert (result.is_unreadable, result.errno) == (False, errno.EINVAL)
    assert "host key" in result.reason
    assert RevokedKeys([]).check(blob) is None


# ---- Files -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "number"),
    [
        (lambda path: None, errno.ENOENT),
        (lambda path: path.mkdir(), errno.EISDIR),
        (lambda path: os.mkfifo(path), errno.EINVAL),
        (lambda path: path.symlink_to(path), errno.ELOOP),
        (lambda path: path.symlink_to("/dev/zero"), errno.EINVAL),
        (lambda path: path.touch() or os.truncate(path, 2**26 + 1), errno.EFBIG),
    ],
    ids=["missing", "directory", "FIFO", "loop", "endless", "large"],
)
def test_a_file_that_cannot_be_read_revokes_every_key(tmp_path, keys, make, number: int) -> None:
    path = tmp_path / "revoked"
    make(path)
    result = check(path, keys.plain[0])
    assert result is not None
    assert (result.is_unreadable, result.errno) == (True, number)
    assert str(result).startswith(f"{path} cannot be read: ")


def test_a_file_with_the_key_decides_before_one_that_cannot_be_read(tmp_path, keys) -> None:
    missing, listed, empty = tmp_path / "missing", tmp_path / "listed", tmp_path / "empty"
    listed.write_text(keys.plain[0].read_text())
    empty.touch()
    result = RevokedKeys([empty, missing, listed]).check(blob_of(keys.plain[0]))
    assert result == Revocation(str(listed), "the key is revoked by line 1")
    result = RevokedKeys([empty, missing, listed]).check(blob_of(keys.plain[1]))
    assert result is not None
    assert (result.file, result.is_unreadable) == (str(missing), True)
    assert RevokedKeys([empty]).check(blob_of(keys.plain[0])) is None


def test_a_change_of_the_file_takes_effect_at_once(tmp_path: Path, keys: Keys) -> None:
    path, key = tmp_path / "revoked", blob_of(keys.plain[0])
    path.touch()
    revoked = RevokedKeys([path])
    assert revoked.check(key) is None
    path.write_text(keys.plain[0].read_text())
    assert revoked.check(key) is not None


def test_paths(tmp_path: Path, monkeypatch, keys: Keys) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "revoked").touch()
    assert RevokedKeys(["~/revoked"]).check(blob_of(keys.plain[0])) is None
    for path in ("/revoked", b"/revoked", tmp_path):
        with pytest.raises(TypeError, match="sequence"):
            RevokedKeys(path)  # type: ignore[arg-type]


# ---- Size ------------------------------------------------------------------------------------

MANY = 100_000


def many_serials() -> Iterator[bytes]:
    yield certificates_of(b"", section(0x20, *(u64(2 * number + 3) for number in range(MANY))))


def many_ranges() -> Iterator[bytes]:
    ranges = (section(0x21, u64(number + 1), u64(2**63)) for number in range(MANY))
    yield certificates_of(b"", *ranges)


def many_bitmaps() -> Iterator[bytes]:
    bitmap = section(0x22, u64(2**62), string(b"\x7f" + b"\xff" * 2047))
    yield certificates_of(b"", *[bitmap] * 1000)


def many_keys() -> Iterator[bytes]:
    keys = (string(b"ssh-ed25519") + string(number.to_bytes(32)) for number in range(MANY))
    yield section(2, *map(string, keys))


def many_digests() -> Iterator[bytes]:
    yield section(5, *(string(number.to_bytes(32)) for number in range(MANY)))
    yield section(3, *(string(number.to_bytes(20)) for number in range(MANY)))


def many_sections() -> Iterator[bytes]:
    yield from [certificates_of(b""), section(3)] * (MANY // 2)


@pytest.mark.parametrize(
    "sections",
    [many_serials, many_ranges, many_bitmaps, many_keys, many_digests, many_sections],
)
def test_a_long_list_is_searched_quickly_in_little_memory(tmp_path, keys, sections) -> None:
    krl, certificate = tmp_path / "krl", blob_of(keys.certificates[1])
    data = krl_of(*sections())
    krl.write_bytes(data)
    started = time.process_time()
    assert (check(krl, certificate) is not None) == (sections is many_ranges)
    assert time.process_time() - started < 2  # about 0.1, but machines and builds differ
    tracemalloc.start()
    try:
        check(krl, certificate)
        assert tracemalloc.get_traced_memory()[1] < 5 * len(data) + 100_000
    finally:
        tracemalloc.stop()
