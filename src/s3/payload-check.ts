/**
 * Checksums that clients send as headers beside Content-MD5 (which the store checks itself). Those
 * that Node computes natively are verified; CRC-32C and CRC-64/NVME are not looked at.
 */
import { createHash, type Hash } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { checksum } from '../base/checksum.ts'
import { S3Error, type S3ErrorCode } from './errors.ts'

interface Expectation {
  readonly algorithm: 'crc32' | 'sha1' | 'sha256'
  readonly encoding: 'hex' | 'base64'
  readonly value: string
  readonly mismatch: S3ErrorCode
}

const checksumHeaders = [
  ['x-amz-checksum-crc32', 'crc32', 4],
  ['x-amz-checksum-sha1', 'sha1', 20],
  ['x-amz-checksum-sha256', 'sha256', 32],
] as const

export class PayloadCheck {
  readonly #expectations: readonly Expectation[]
  readonly #hashes = new Map<'sha1' | 'sha256', Hash>()
  #crc = 0

  private constructor(expectations: readonly Expectation[], elsewhere: 'sha256' | undefined) {
    this.#expectations = expectations
    for (const { algorithm } of expectations) {
      if (algorithm === 'crc32' || algorithm === elsewhere) continue
      this.#hashes.set(algorithm, createHash(algorithm))
    }
  }

  /**
   * Undefined when the client sent nothing to check.
   * @param elsewhere what somebody else computes, and {@link verifySha256} is told
   * @throws S3Error InvalidDigest when a checksum has the wrong form
   */
  static fromHeaders(headers: IncomingHttpHeaders, elsewhere?: 'sha256'): PayloadCheck | undefined {
    const expectations: Expectation[] = []
    const contentHash = headers['x-amz-content-sha256']
    if (typeof contentHash === 'string' && /^[0-9a-f]{64}$/i.test(contentHash)) {
      expectations.push({
        algorithm: 'sha256',
        encoding: 'hex',
        value: contentHash.toLowerCase(),
        mismatch: 'XAmzContentSHA256Mismatch',
      })
    }
    for (const [header, algorithm, bytes] of checksumHeaders) {
      const value = headers[header]
      if (typeof value !== 'string') continue
      if (decodeBase64(value)?.length !== bytes) throw new S3Error('InvalidDigest')
      expectations.push({ algorithm, encoding: 'base64', value, mismatch: 'BadDigest' })
    }
    return expectations.length === 0 ? undefined : new PayloadCheck(expectations, elsewhere)
  }

  update(bytes: Uint8Array): void {
    for (const hash of this.#hashes.values()) hash.update(bytes)
    this.#crc = checksum(bytes, this.#crc)
  }

  /** To be called once, after the last byte. @throws S3Error BadDigest, XAmzContentSHA256Mismatch */
  verify(): void {
    const digests = new Map<string, Buffer>()
    for (const [algorithm, hash] of this.#hashes) digests.set(algorithm, hash.digest())
    const crc = Buffer.alloc(4)
    crc.writeUInt32BE(this.#crc)
    digests.set('crc32', crc)
    for (const expectation of this.#expectations) {
      const digest = digests.get(expectation.algorithm)
      if (digest !== undefined) compare(expectation, digest)
    }
  }

  /** @throws S3Error BadDigest, XAmzContentSHA256Mismatch */
  verifySha256(digest: Buffer): void {
    for (const expectation of this.#expectations) {
      if (expectation.algorithm === 'sha256') compare(expectation, digest)
    }
  }
}

function compare({ encoding, value, mismatch }: Expectation, digest: Buffer): void {
  if (digest.toString(encoding) !== value) throw new S3Error(mismatch)
}

/**
 * Content-MD5 as bytes.
 * @throws S3Error InvalidDigest
 */
export function parseContentMd5(header: string | undefined): Buffer | undefined {
  if (header === undefined) return undefined
  const digest = decodeBase64(header.trim())
  if (digest?.length !== 16) throw new S3Error('InvalidDigest')
  return digest
}

/** Undefined unless `text` is exactly what its bytes encode to: Node's own decoder skips rubbish. */
function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
