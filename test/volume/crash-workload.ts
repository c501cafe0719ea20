/**
 * A workload over a volume, what its client has been told of it, and whether that holds: for tests that
 * cut it off anywhere.
 */
import { expect } from 'vitest'
import type { Device } from '../../src/device/device.ts'
import { GroupWriteError, VolumeReadOnlyError } from '../../src/volume/format/errors.ts'
import type { Location, LogPosition, RecordInput, Volume } from '../../src/volume/volume.ts'
import { PowerLossError } from './faulty-disk.ts'
import { chunk, contentOf, record, startVolume } from './scenario.ts'

interface Group {
  readonly seqs: readonly number[]
  /** `failed`: an error was answered; it may be there only while nothing was answered after it. */
  state: 'begun' | 'answered' | 'failed'
  locations: readonly Location[]
}

interface Freed {
  readonly segment: number
  readonly generation: number
  state: 'begun' | 'answered'
}

/** What a client of the volume has been told. */
export class Model {
  readonly groups: Group[] = []
  readonly chunks: { readonly index: number; readonly location: Location }[] = []
  readonly freed: Freed[] = []
  checkpoint: LogPosition | undefined
  #seq = 0

  nextGroup(count: number): RecordInput[] {
    const records = Array.from({ length: count }, () => {
      this.#seq++
      return record(this.#seq, (this.#seq * 997) % 4000)
    })
    this.groups.push({ seqs: records.map(({ seq }) => seq), state: 'begun', locations: [] })
    return records
  }

  freedState(location: Location): Freed['state'] | undefined {
    return this.freed.find(
      ({ segment, generation }) =>
        segment === location.segment && generation === location.generation,
    )?.state
  }
}

async function appendGroup(volume: Volume, model: Model, count: number): Promise<void> {
  const records = model.nextGroup(count)
  const group = model.groups.at(-1)
  if (group === undefined) throw new Error('a group was begun')
  try {
    group.locations = await volume.appendGroup(records)
    group.state = 'answered'
    model.checkpoint = volume.logPosition()
  } catch (error) {
    if (error instanceof PowerLossError || causeOf(error) instanceof PowerLossError) throw error
    if (!(error instanceof GroupWriteError)) throw error
    group.state = 'failed'
  }
}

async function appendChunks(volume: Volume, model: Model, first: number): Promise<void> {
  const indexes = [first, first + 1, first + 2]
  const results = await Promise.allSettled(
    indexes.map(async (index) => {
      const location = await volume.appendBulk(chunk(index, 3000 + index))
      model.chunks.push({ index, location })
    }),
  )
  for (const result of results) {
    if (result.status === 'rejected' && !(result.reason instanceof GroupWriteError))
      throw result.reason
  }
}

/** Frees the oldest sealed segment of each stream, as if nothing in it was live. */
async function freeOldest(volume: Volume, model: Model): Promise<void> {
  for (const stream of ['log', 'bulk'] as const) {
    const sealed = volume
      .segments()
      .filter((info) => info.stream === stream && info.state === 'sealed')
    const oldest = sealed[0]
    if (oldest === undefined) continue
    const { segment, generation } = oldest
    const freed: Freed = { segment, generation, state: 'begun' }
    model.freed.push(freed)
    await volume.freeSegment(segment, generation)
    freed.state = 'answered'
  }
}

/** About six segments of log and bulk, some of them freed. */
export async function work(volume: Volume, model: Model): Promise<void> {
  for (let round = 0; round < 14; round++) {
    await appendGroup(volume, model, 1 + (round % 5))
    await appendChunks(volume, model, 3 * round + 1)
    if (round % 3 === 0) await appendGroup(volume, model, 4)
    if (round % 5 === 4) await freeOldest(volume, model)
  }
}

export function causeOf(error: unknown): unknown {
  return error instanceof Error ? error.cause : undefined
}

/** Everything that `model` was told holds on `disk`; returns the volume, active. */
export async function verify(disk: Device, model: Model): Promise<Volume> {
  const { volume, replayed } = await startVolume(disk)
  const found = new Map(replayed.map((entry) => [entry.seq, entry]))
  expect(replayed.map(({ seq }) => seq)).toEqual([...found.keys()].sort((a, b) => a - b))
  const lastAnswered = model.groups.findLastIndex(({ state }) => state === 'answered')
  for (const [index, group] of model.groups.entries()) {
    const there = group.seqs.filter((seq) => found.has(seq)).length
    expect([0, group.seqs.length], `group ${index} is there whole or not at all`).toContain(there)
    const [first] = group.locations
    const freed = first === undefined ? undefined : model.freedState(first)
    if (group.state === 'answered' && freed === undefined) expect(there).toBe(group.seqs.length)
    if (freed === 'answered') expect(there).toBe(0)
    if (group.state !== 'answered' && index < lastAnswered) {
      expect(there, `group ${index} was voided`).toBe(0)
    }
  }
  for (const { seq, location } of replayed) {
    const { body } = await volume.readRecord(location, { seq })
    expect(body.equals(contentOf(seq, (seq * 997) % 4000))).toBe(true)
  }
  for (const { index, location } of model.chunks) {
    if (model.freedState(location) !== undefined) continue
    const { body } = await volume.readRecord(location, { seq: 0 })
    expect(body.equals(contentOf(index, 3000 + index))).toBe(true)
  }
  return volume
}

/** The volume goes on after the crash, and a second, orderly opening finds it all again. */
export async function verifyAndGoOn(disk: Device, model: Model): Promise<void> {
  const volume = await verify(disk, model)
  for (const group of model.groups) {
    // From here on what was begun is either there for good or gone for good.
    if (group.state !== 'answered') group.state = 'failed'
  }
  const survivors = new Set<number>()
  await appendGroup(volume, model, 3)
  await appendChunks(volume, model, 900)
  await volume.close()
  const again = await startVolume(disk)
  for (const { seq } of again.replayed) survivors.add(seq)
  for (const seq of model.groups.at(-1)?.seqs ?? []) expect(survivors.has(seq)).toBe(true)
  for (const { index, location } of model.chunks) {
    if (model.freedState(location) !== undefined) continue
    const { body } = await again.volume.readRecord(location, { seq: 0 })
    expect(body.length).toBe(3000 + index)
  }
  await again.volume.close()
  const fromCheckpoint = await startVolume(disk, model.checkpoint ? { from: model.checkpoint } : {})
  expect(fromCheckpoint.replayed).toEqual([])
  await fromCheckpoint.volume.close()
}

export async function untilPowerLoss(run: () => Promise<void>): Promise<void> {
  try {
    await run()
  } catch (error) {
    const causes = [error, causeOf(error), causeOf(causeOf(error))]
    const explained = causes.some((one) => one instanceof PowerLossError)
    if (!explained && !(error instanceof VolumeReadOnlyError)) throw error
  }
}
