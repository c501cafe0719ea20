/**
 * "An answered write survives power loss at any instant": a workload is cut off at each of its
 * operations, the disk keeps a random part of what was not synced, and the next opening must find
 * everything that was answered, nothing in halves, and nothing that was never written.
 */
import { describe, expect, it } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { GroupWriteError, VolumeReadOnlyError } from '../../src/volume/format/errors.ts'
import type { LogPosition, Volume } from '../../src/volume/volume.ts'
import { causeOf, Model, untilPowerLoss, verify, verifyAndGoOn, work } from './crash-workload.ts'
import { FaultyDisk, type Operation } from './faulty-disk.ts'
import { collect, fillSegment, group, openVolume, segmentBytes, startVolume } from './scenario.ts'

async function runUntilPowerLoss(disk: FaultyDisk, model: Model): Promise<void> {
  await untilPowerLoss(async () => {
    const { volume } = await startVolume(disk)
    await work(volume, model)
    await volume.close()
  })
}

async function countOperations(): Promise<number> {
  const disk = new FaultyDisk()
  await runUntilPowerLoss(disk, new Model())
  return disk.operations
}

describe('Power loss', () => {
  it('at every single operation of a workload loses nothing that was answered', async () => {
    const total = await countOperations()
    expect(total).toBeGreaterThan(100)
    for (let at = 1; at <= total; at++) {
      const disk = new FaultyDisk({ seed: at })
      const model = new Model()
      disk.powerOffAt = at
      await runUntilPowerLoss(disk, model)
      await verifyAndGoOn(disk.afterPowerLoss(), model)
    }
  })

  it('in the middle of the recovery from a power loss loses nothing either', async () => {
    const total = await countOperations()
    const random = seededRandom(3)
    for (let run = 0; run < 60; run++) {
      let disk = new FaultyDisk({ seed: 1000 + run })
      const model = new Model()
      disk.powerOffAt = 1 + randomBelow(random, total)
      await runUntilPowerLoss(disk, model)
      for (let again = 0; again < 3; again++) {
        disk = disk.afterPowerLoss()
        disk.powerOffAt = 1 + randomBelow(random, 12)
        await untilPowerLoss(async () => {
          const { volume } = await startVolume(disk)
          await volume.close()
        })
      }
      await verifyAndGoOn(disk.afterPowerLoss(), model)
    }
  })
})

describe('A kill', () => {
  it('and then a power loss in the recovery from it lose nothing that was answered', async () => {
    const total = await countOperations()
    const random = seededRandom(4)
    for (let at = 1; at <= total; at += 2) {
      const killed = new FaultyDisk({ seed: 2000 + at })
      const model = new Model()
      killed.powerOffAt = at
      await runUntilPowerLoss(killed, model)
      const disk = killed.afterKill()
      disk.powerOffAt = 1 + randomBelow(random, 8)
      let replayedTo: LogPosition | undefined
      await untilPowerLoss(async () => {
        const volume = await openVolume(disk)
        for await (const { groupEnd } of volume.replay(undefined)) replayedTo = groupEnd
        await volume.activate()
      })
      // An index may have made durable that it got so far: the log must not end before that.
      const found = disk.afterPowerLoss()
      if (replayedTo !== undefined) await collect(await openVolume(found), replayedTo)
      await verifyAndGoOn(found, model)
    }
  })
})

describe('A freed segment whose header said where the one before ends', () => {
  async function freeSecond(volume: Volume): Promise<void> {
    const [, second] = volume.segments()
    await volume.freeSegment(second?.segment ?? -1, second?.generation ?? -1)
  }

  async function expectTheFirst(disk: FaultyDisk): Promise<void> {
    const { volume } = await startVolume(disk)
    expect(volume.segments()[0]).toMatchObject({ generation: 1, state: 'sealed' })
  }

  it('is not missed when the trim of that one is undone', async () => {
    for (let seed = 1; seed <= 8; seed++) {
      const disk = new FaultyDisk({ seed })
      const { volume } = await startVolume(disk)
      await fillSegment(volume, await fillSegment(volume, 1))
      await freeSecond(volume)
      await expectTheFirst(disk.afterPowerLoss())
    }
  })

  it('is not missed when the footer of that one was in memory only', async () => {
    const { volume: other } = await startVolume(new FaultyDisk())
    const groups = ((await fillSegment(other, 1)) - 1) / 3 - 1
    for (let seed = 1; seed <= 8; seed++) {
      const disk = new FaultyDisk({ seed })
      const { volume } = await startVolume(disk)
      for (let at = 0; at < groups; at++) await volume.appendGroup(group(1 + 3 * at, 3, 3000))
      disk.fail('sync', 'EIO')
      await volume.appendGroup(group(1 + 3 * groups, 3, 3000))
      expect(disk.faults).toEqual([])
      // The next process finds the footer, and has not replayed the segment that it is in.
      const killed = disk.afterKill()
      const { volume: next } = await startVolume(killed, { from: volume.logPosition() })
      await freeSecond(next)
      await expectTheFirst(killed.afterPowerLoss())
    }
  })
})

describe('A disk that fails now and then', () => {
  const operations: readonly Operation[] = [
    'superblock',
    'create',
    'remove',
    'write',
    'sync',
    'trim',
  ]

  it.each(operations)(
    '%s: one failure anywhere loses nothing and revives nothing',
    async (operation) => {
      const clean = new FaultyDisk()
      await runUntilPowerLoss(clean, new Model())
      const count = clean.trace.filter((one) => one === operation).length
      expect(count).toBeGreaterThan(0)
      for (let after = 0; after < count; after++) {
        for (const code of operation === 'write' ? ['EIO', 'short'] : ['EIO']) {
          const disk = new FaultyDisk({ seed: after })
          const model = new Model()
          disk.fail(operation, code, { after })
          await runIgnoringFailures(disk, model)
          await verify(disk.afterPowerLoss(), model)
        }
      }
    },
  )
})

async function runIgnoringFailures(disk: FaultyDisk, model: Model): Promise<void> {
  try {
    const { volume } = await startVolume(disk)
    await work(volume, model)
    await volume.close()
  } catch (error) {
    // Opening, freeing and a second failure answer the error itself; the work ends there.
    const planned = [error, causeOf(error)].some((one) =>
      String(one).includes('planned by the test'),
    )
    const named = error instanceof VolumeReadOnlyError || error instanceof GroupWriteError
    if (!planned && !named) throw error
  }
}

describe('The workload', () => {
  it('is worth it: several segments of both streams are sealed, and some freed', async () => {
    const disk = new FaultyDisk()
    const model = new Model()
    const { volume } = await startVolume(disk)
    await work(volume, model)
    const sealed = volume.segments().filter(({ state }) => state === 'sealed')
    expect(sealed.filter(({ stream }) => stream === 'log').length).toBeGreaterThan(0)
    expect(sealed.filter(({ stream }) => stream === 'bulk').length).toBeGreaterThan(0)
    expect(model.freed.length).toBeGreaterThan(1)
    expect(volume.usage().usedBytes).toBeLessThan(10 * segmentBytes)
  })
})
