/**
 * One hash over the entries of a range. What an entry contributes is framed, so no two ranges look
 * alike: length of the key, length of version and metadata (both 32 bits), and then these.
 *
 * Entries are gathered in one buffer, since a call of the hash costs more than hashing one of them. They
 * are copied whole and what does not belong there is closed over: a view of each part costs more, too.
 */
import { createHash, type Hash } from 'node:crypto'
import type { RangeDigest } from '../model/survey.ts'
import type { SlotIdentity } from '../tables/slot-identity.ts'

export interface FoundEntry {
  readonly indexKey: Buffer
  /** Where the object's key begins in it. */
  readonly keyAt: number
  readonly identity: SlotIdentity
}

const gatheredBytes = 32 * 2 ** 10
const frameBytes = 8

export class RangeDigester {
  readonly #hash: Hash = createHash('sha256')
  #gathered = Buffer.allocUnsafeSlow(gatheredBytes)
  #length = 0
  count = 0

  add({ indexKey, keyAt, identity }: FoundEntry): void {
    const { value, versionAt, versionEnd, metaAt, metaEnd } = identity
    const room = frameBytes + indexKey.length + value.length
    if (this.#length + room > this.#gathered.length) this.#makeRoom(room)
    const into = this.#gathered
    const keyLength = indexKey.length - keyAt
    const versionLength = versionEnd - versionAt
    let at = this.#length + frameBytes
    into.set(indexKey, at)
    into.copyWithin(at, at + keyAt, at + indexKey.length)
    into.writeUInt32LE(keyLength, this.#length)
    into.writeUInt32LE(versionLength + metaEnd - metaAt, this.#length + 4)
    at += keyLength
    into.set(value, at)
    into.copyWithin(at, at + versionAt, at + versionEnd)
    into.copyWithin(at + versionLength, at + metaAt, at + metaEnd)
    this.#length = at + versionLength + metaEnd - metaAt
    this.count++
  }

  finish(): RangeDigest & { readonly digest: Buffer } {
    this.#flush()
    return { count: this.count, digest: this.#hash.digest() }
  }

  #makeRoom(bytes: number): void {
    this.#flush()
    if (bytes > this.#gathered.length) this.#gathered = Buffer.allocUnsafeSlow(bytes)
  }

  #flush(): void {
    this.#hash.update(this.#gathered.subarray(0, this.#length))
    this.#length = 0
  }
}
