import { createHash } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { ConflictWitness } from '../../src/sim/conflict-witness.ts'
import { makeVersion, type Version } from '../../src/store/model/version.ts'
import type { ConflictEntry } from '../../src/store/tables/conflict-entry.ts'
import { objectKey, tombstoneKey } from '../../src/store/tables/keys.ts'
import { encodeLiveEntry, encodeTombstone } from '../../src/store/tables/slot-entry.ts'

const location = { segment: 0, generation: 1, offset: 4096, headLength: 1, bodyLength: 0 }
const digest = createHash('sha256').digest()
const meta = {
  size: 0,
  etag: '0'.repeat(32),
  contentHash: { algorithm: 'sha256', digest },
  lastModified: 0,
  headers: {},
  userMetadata: {},
} as const

let witness: ConflictWitness
beforeEach(() => {
  witness = new ConflictWitness()
})

/** The site's index holds this from now on. */
function puts(site: string, version: Version, context: readonly Version[] = []): void {
  const base = { seq: 1, version, context, location, joinLocation: undefined, recordSeq: 1 }
  const value = encodeLiveEntry({ kind: 'live', ...base, meta, body: { kind: 'inline' } })
  witness.observe(site, [
    { type: 'put', key: objectKey('docs', 'a'), value },
    { type: 'del', key: tombstoneKey('docs', 'a') },
  ])
}

function deletes(site: string, version: Version, context: readonly Version[]): void {
  const value = encodeTombstone({ kind: 'tombstone', seq: 1, version, context, location })
  witness.observe(site, [
    { type: 'put', key: tombstoneKey('docs', 'a'), value },
    { type: 'del', key: objectKey('docs', 'a') },
  ])
}

function check(...losers: readonly Version[]): void {
  const conflicts = losers.map(
    (version): ConflictEntry => ({
      conflict: {
        ...{ id: 1, noticedAt: 0, bucket: 'docs', key: 'a', keptAs: undefined },
        loser: { kind: 'delete', version },
        winner: { kind: 'delete', version },
      },
      location,
    }),
  )
  witness.check([{ conflicts, buckets: new Map() }])
}

describe('The witness of conflicts', () => {
  const first = makeVersion(1, 0, 'a')
  const deleteOfA = makeVersion(2, 0, 'a')
  const deleteOfB = makeVersion(3, 0, 'b')
  const last = makeVersion(4, 0, 'c')

  /** Two sites delete the object; the deletes meet at the second, where a put of a third one wins. */
  function deletesThatMeet(): void {
    for (const site of ['a', 'b', 'c']) puts(site, first)
    deletes('a', deleteOfA, [first])
    deletes('b', deleteOfB, [first])
    deletes('b', deleteOfB, [deleteOfA])
    puts('c', last, [first])
    puts('b', last, [deleteOfA, deleteOfB])
    puts('a', last, [deleteOfA, deleteOfB])
  }

  it('demands of a put that replaced a delete unseen that somebody lists it', () => {
    deletesThatMeet()
    expect(() => check()).toThrow('nobody lists it')
    expect(() => check(deleteOfA)).toThrow(`${deleteOfB} in docs/a lost`)
  })

  it('lets the delete that stays stand for the other one that it met', () => {
    deletesThatMeet()
    check(deleteOfB)
  })
})
