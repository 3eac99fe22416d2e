import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { test } from "node:test";

import { checksum } from "./upload.js";

const base64 = (hex) => Buffer.from(hex, "hex").toString("base64");

test("checksums of known texts", async () => {
  const digits = new Blob(["123456789"]);
  assert.equal(await checksum(digits, "CRC32"), base64("cbf43926"));
  assert.equal(await checksum(digits, "CRC32C"), base64("e3069283"));
  assert.equal(await checksum(new Blob([]), "CRC32"), base64("00000000"));
  assert.equal(await checksum(new Blob(["abc"]), "SHA256"),
    base64("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  // RFC 3720, B.4, has the checksums of 32 bytes of zeros and of ones.
  assert.equal(await checksum(new Blob([new Uint8Array(32)]), "CRC32C"), base64("8a9136aa"));
  const ones = new Blob([new Uint8Array(32).fill(255)]);
  assert.equal(await checksum(ones, "CRC32C"), base64("62a8ab43"));
});

test("SHA-256 of every length up to three blocks, and of several reads", async () => {
  const bytes = randomBytes(9 * 2 ** 20 + 1);
  for (const length of [...Array(193).keys(), 4 * 2 ** 20 - 1, 4 * 2 ** 20, bytes.length]) {
    const content = bytes.subarray(0, length);
    const want = createHash("sha256").update(content).digest("base64");
    assert.equal(await checksum(new Blob([content]), "SHA256"), want, `${length} bytes`);
  }
});

test("CRCs of every length agree with CRCs that are computed byte by byte", async () => {
  const bytes = randomBytes(64);
  const slow = (polynomial, content) => {
    let crc = -1;
    for (const byte of content) {
      crc ^= byte;
      for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? crc >>> 1 ^ polynomial : crc >>> 1;
    }
    return base64((~crc >>> 0).toString(16).padStart(8, "0"));
  };
  for (let length = 0; length <= bytes.length; length++) {
    const content = bytes.subarray(0, length);
    assert.equal(await checksum(new Blob([content]), "CRC32"), slow(0xedb88320, content));
    assert.equal(await checksum(new Blob([content]), "CRC32C"), slow(0x82f63b78, content));
  }
});

test("an algorithm that is not supported", async () => {
  await assert.rejects(checksum(new Blob([]), "MD5"), { name: "UploadError", code: "unsupported" });
});
