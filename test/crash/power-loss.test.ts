import { describe, expect, it } from 'vitest'
import { losePower } from './power-loss/lose-power.ts'
import { type DiskEvent, reasonNotToTrace } from './power-loss/system-calls.ts'

const reason = reasonNotToTrace()
if (reason !== undefined)
  process.stderr.write(`power loss under the real index is skipped: ${reason}\n`)

describe.skipIf(reason !== undefined)('Power loss at any system call of volume and LevelDB', () => {
  it('loses nothing that was answered, also in the recovery from another one', async () => {
    const counts = await losePower({ seed: 1, losses: 4, rounds: 2 })
    expect(counts.losses).toBe(8)
    expect(counts.undecided).toBeGreaterThan(3)
    expect(counts.objects).toBeGreaterThan(15)
  })

  it('is noticed when the disk does not do what it was asked to sync', async () => {
    const neverSyncs = (events: readonly DiskEvent[]): readonly DiskEvent[] =>
      events.filter(({ kind }) => kind !== 'sync-ends' && kind !== 'write-ends')
    const losing = losePower({ seed: 1, losses: 3, rounds: 1, disk: neverSyncs })
    await expect(losing).rejects.toThrow()
  })
})
