/** The vocabulary of the volume's tests: open it, write to it, see what it has. */
import { type Clock, systemClock } from '../../src/base/clock.ts'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { seededRandom } from '../../src/base/random.ts'
import type { Device } from '../../src/device/device.ts'
import {
  type LogPosition,
  type RecordInput,
  type ReplayedRecord,
  Volume,
  type VolumeOptions,
} from '../../src/volume/volume.ts'

/** The smallest there is, so that segments fill quickly: groups up to 16 KiB, chunks up to 8 KiB. */
export const segmentBytes = 64 * 1024
export const blockBytes = 4096

/** A clock that stands still. */
export const stillClock: Clock = {
  now: () => 1_700_000_000_000,
  monotonic: () => 0,
  after: (ms, callback) => systemClock.after(ms, callback),
}

/** Keeps the messages of warnings and errors. */
export function recordingLogger(): Logger & { readonly messages: string[] } {
  const messages: string[] = []
  const note = (_fields: unknown, message: string): void => {
    messages.push(message)
  }
  const logger = { ...silentLogger, warn: note, error: note, messages }
  return { ...logger, child: () => logger }
}

export function openVolume(device: Device, options: Partial<VolumeOptions> = {}): Promise<Volume> {
  return Volume.open({
    device,
    random: seededRandom(7),
    clock: stillClock,
    logger: silentLogger,
    format: { segmentBytes, siteId: 'a' },
    ...options,
  })
}

/** Opened, replayed and active. */
export async function startVolume(
  device: Device,
  options: Partial<VolumeOptions> & { readonly from?: LogPosition } = {},
): Promise<{ readonly volume: Volume; readonly replayed: readonly ReplayedRecord[] }> {
  const { from, ...others } = options
  const volume = await openVolume(device, others)
  const replayed = await collect(volume, from)
  await volume.activate()
  return { volume, replayed }
}

export async function collect(volume: Volume, from?: LogPosition): Promise<ReplayedRecord[]> {
  const records: ReplayedRecord[] = []
  for await (const record of volume.replay(from)) records.push(record)
  return records
}

export function seqsOf(records: readonly { readonly seq: number }[]): number[] {
  return records.map(({ seq }) => seq)
}

/** A record whose content follows from its seq. */
export function record(seq: number, bodyBytes = 100): RecordInput {
  return {
    kind: 1,
    seq,
    label: Buffer.from(`label of ${seq}`),
    head: Buffer.from(`head of ${seq}`),
    body: bodyBytes === 0 ? [] : [contentOf(seq, bodyBytes)],
  }
}

export function contentOf(seq: number, bytes: number): Buffer {
  return Buffer.alloc(bytes, `content of ${seq}.`)
}

/** So many records to a group that it takes one block or a few. */
export function group(from: number, count = 3, bodyBytes = 100): RecordInput[] {
  return Array.from({ length: count }, (_, i) => record(from + i, bodyBytes))
}

/** Appends groups until the log has gone on to another segment. */
export async function fillSegment(volume: Volume, firstSeq: number): Promise<number> {
  const { generation } = volume.logPosition()
  let seq = firstSeq
  while (volume.logPosition().generation === generation) {
    await volume.appendGroup(group(seq, 3, 3000))
    seq += 3
  }
  return seq
}

export function chunk(index: number, bytes = 5000): RecordInput {
  return {
    kind: 5,
    seq: 0,
    label: Buffer.from(`blob ${index}`),
    head: Buffer.alloc(0),
    body: [contentOf(index, bytes)],
  }
}
