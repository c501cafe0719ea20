import { describe, expect, it } from 'vitest'
import { copyOf, originOf } from '../../src/store/model/kept-copy.ts'
import { makeVersion } from '../../src/store/model/version.ts'

const loser = makeVersion(5000, 3, 'site-a')
const floor = makeVersion(9000, 0, 'site-b')
const name = (key: string) => ({ bucket: 'photos', key })

describe('the copy of a write that lost a conflict', () => {
  it('is named by the site and the stamp of the write', () => {
    const copy = copyOf(name('a/b.jpg'), loser, undefined)
    expect(copy?.key).toBe('a/b.jpg.conflict-site-a-0000000013880003')
    expect(originOf(copy?.key ?? '', copy?.version ?? loser)).toBe(loser)
  })

  it('lies above the floor of the purge that it lost to', () => {
    const copy = copyOf(name('a'), loser, floor)
    expect((copy?.version ?? '') > floor).toBe(true)
    expect((copy?.version ?? '') < makeVersion(9000, 1, 'a')).toBe(true)
  })

  it('has a legal name, whole characters and another name than others, however long the key is', () => {
    for (const key of ['x'.repeat(1024), 'ü'.repeat(512), '😀'.repeat(256)]) {
      const one = copyOf(name(key), loser, undefined)?.key ?? ''
      const other = copyOf(name(key), makeVersion(5000, 4, 'site-a'), undefined)?.key ?? ''
      expect(Buffer.byteLength(one)).toBeLessThanOrEqual(1024)
      expect(one.isWellFormed()).toBe(true)
      expect(other).not.toBe(one)
    }
  })

  it('is kept no further when somebody overwrites it, and stays when a purge had not seen it', () => {
    const copy = copyOf(name('a'), loser, undefined)
    if (copy === undefined) throw new Error('there is a copy')
    expect(copyOf(copy, copy.version, undefined)).toBeUndefined()
    const again = copyOf(copy, copy.version, floor)
    expect(again?.key).toBe(copy.key)
    expect(again?.version).toBe(copyOf(name('a'), loser, floor)?.version)
  })
})
