import { createHash } from 'node:crypto'
import { expect, test } from 'vitest'
import { RangeDigester } from '../../src/store/read/range-digester.ts'

const indexKey = Buffer.from('o box 0 key')
const keyAt = 6

/** An entry whose version and metadata are `meta` bytes long all together. */
function entryOf(meta: number) {
  const value = Buffer.alloc(meta + 100, 'any other bytes of an entry')
  const versionAt = 20
  const versionEnd = versionAt + 16
  const metaAt = versionEnd + 30
  value.fill('v', versionAt, versionEnd)
  value.fill('m', metaAt, metaAt + meta - 16)
  const identity = { value, seq: 1, versionAt, versionEnd, metaAt, metaEnd: metaAt + meta - 16 }
  return { indexKey, keyAt, identity }
}

function frameOf(meta: number): Buffer {
  const frame = Buffer.alloc(8)
  frame.writeUInt32LE(indexKey.length - keyAt, 0)
  frame.writeUInt32LE(meta, 4)
  const identity = 'v'.repeat(16) + 'm'.repeat(meta - 16)
  return Buffer.concat([frame, indexKey.subarray(keyAt), Buffer.from(identity)])
}

test('an entry of any size counts with its key, version and metadata alone', () => {
  const sizes = [50, 100_000, 60, 33_000, 16, 200_000, 70]
  const digester = new RangeDigester()
  for (const size of sizes) digester.add(entryOf(size))
  const digest = createHash('sha256')
    .update(Buffer.concat(sizes.map(frameOf)))
    .digest()
  expect(digester.finish()).toEqual({ count: sizes.length, digest })
})
