/** The crash suite finds what it is for: bugs that ComIO does not have, each put between two parts. */
import { describe, expect, it } from 'vitest'
import type { CrashSeams } from '../../src/sim/crash/crash-site.ts'
import { neverSyncs, tearsBatches } from '../sim/planted-bugs.ts'
import { keepsOldPlaces, reordersWrites, replaysNoDeletes } from './planted-bugs.ts'
import { firstCrashFinding } from './run-crash-seeds.ts'

const seedsMax = 60

describe('The crash suite finds', () => {
  const bugs: readonly (readonly [bug: string, seams: CrashSeams])[] = [
    ['a disk that says that it has synced, and has not', { device: neverSyncs }],
    ['a disk that brings writes behind the sync that follows them', { device: reordersWrites }],
    ['an index whose batches are not atomic', { index: tearsBatches }],
    ['a recovery that leaves out deletes', { volume: replaysNoDeletes }],
    ['a feed that keeps places of what was overwritten', { index: keepsOldPlaces }],
  ]
  it.each(bugs)('%s', async (_, seams) => {
    const finding = await firstCrashFinding(seedsMax, seams)
    // A broken promise, and not a part of the bug that fell over.
    expect(finding?.violation?.check).toMatch(/^(start|answered|places|rebuild|shows|content)$/)
  })
})
