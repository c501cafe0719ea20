/**
 * `comio volume verify`: all of the log, byte by byte, against the index. Read-only; no site may run on
 * the volume meanwhile.
 */
import { formatByteSize } from '../../base/byte-size.ts'
import { systemClock } from '../../base/clock.ts'
import type { Progress } from '../../base/progress-bar.ts'
import type { ServerConfig } from '../../config/server-config.ts'
import { IndexCheck, type IndexFinding } from '../../store/recovery/index-check.ts'
import type {
  GroupRecord,
  SegmentEntry,
  SegmentStep,
  VolumeInspection,
  VolumeProblem,
} from '../../volume/inspection/volume-inspection.ts'
import { WorkStoppedError } from '../errors.ts'
import { withIndexView, withOfflineVolume } from './offline-volume.ts'
import { recordDocument } from './record-document.ts'

export interface VerifyFinding {
  readonly kind:
    | VolumeProblem['kind']
    | IndexFinding['kind']
    | 'group'
    | 'record'
    | 'index-absent'
    | 'index-foreign'
    | 'index-unreadable'
  readonly message: string
  readonly segment: number | null
  readonly generation: number | null
  readonly offset: number | null
  readonly bucket: string | null
  readonly key: string | null
  readonly seq: number | null
}

export interface VolumeVerifyDocument {
  readonly sound: boolean
  readonly segments: number
  readonly records: number
  readonly bytes: number
  readonly index_entries: number
  /** Of each kind, also of those that are not listed. */
  readonly findings: Readonly<Record<string, number>>
  /** The first of them. */
  readonly listed: readonly VerifyFinding[]
}

export interface VerifyOptions {
  readonly onProgress: (progress: Progress) => void
  readonly signal: AbortSignal
}

const listedMax = 10_000

/** @throws VolumeInUseError, WorkStoppedError */
export async function verifyVolume(
  config: ServerConfig,
  options: VerifyOptions,
): Promise<VolumeVerifyDocument> {
  return await withOfflineVolume(config, 'hold', (volume) =>
    withIndexView(volume, async (view) => {
      const findings = new Findings()
      for (const problem of volume.inspection.problems) findings.add(problem)
      const index = view.state === 'sound' ? view.index : undefined
      if (view.state !== 'sound' && view.state !== 'in use') {
        findings.add({ kind: `index-${view.state}`, message: view.reason })
      }
      const check =
        index === undefined ? undefined : new IndexCheck(index, (found) => findings.addIndex(found))
      const run = new VerifyRun(volume.inspection, { check, findings, options })
      return await run.run()
    }),
  )
}

type FoundPlace = Partial<Omit<VerifyFinding, 'kind' | 'message'>>

class Findings {
  readonly listed: VerifyFinding[] = []
  readonly counts: Record<string, number> = {}

  add(found: Pick<VerifyFinding, 'kind' | 'message'> & FoundPlace): void {
    this.counts[found.kind] = (this.counts[found.kind] ?? 0) + 1
    if (this.listed.length >= listedMax) return
    const { kind, message, segment, generation, offset, bucket, key, seq } = found
    this.listed.push({
      ...{ kind, message, segment: segment ?? null, generation: generation ?? null },
      ...{ offset: offset ?? null, bucket: bucket ?? null, key: key ?? null, seq: seq ?? null },
    })
  }

  addIndex({ location, bucket, key, seq, ...found }: IndexFinding): void {
    const { segment, generation, offset } = location ?? {}
    const place = { segment, generation, offset, bucket, key, seq }
    this.add({ ...found, ...placeOf(place) })
  }
}

function placeOf(place: { readonly [field in keyof FoundPlace]: unknown }): FoundPlace {
  return Object.fromEntries(Object.entries(place).filter(([, value]) => value !== undefined))
}

class VerifyRun {
  readonly #inspection: VolumeInspection
  readonly #check: IndexCheck | undefined
  readonly #findings: Findings
  readonly #options: VerifyOptions
  readonly #startedAt = systemClock.monotonic()
  #records = 0
  #bytes = 0

  constructor(
    inspection: VolumeInspection,
    parts: {
      readonly check: IndexCheck | undefined
      readonly findings: Findings
      readonly options: VerifyOptions
    },
  ) {
    this.#inspection = inspection
    this.#check = parts.check
    this.#findings = parts.findings
    this.#options = parts.options
  }

  async run(): Promise<VolumeVerifyDocument> {
    const { segments } = this.#inspection
    const total = segments.reduce((sum, { bytes, end }) => sum + (end?.validEnd ?? bytes), 0)
    let behind = 0
    for (const entry of segments) {
      const onStep = (offset: number): void => this.#progress(behind + offset, total)
      await this.#segment(entry, onStep)
      behind += entry.end?.validEnd ?? entry.bytes
    }
    let entries = 0
    await this.#check?.entries((count) => {
      entries = count
      this.#indexProgress(count)
    })
    const { counts: findings, listed } = this.#findings
    return {
      sound: listed.length === 0,
      segments: segments.length,
      records: this.#records,
      bytes: this.#bytes,
      index_entries: entries,
      findings,
      listed,
    }
  }

  async #segment(entry: SegmentEntry, onStep: (offset: number) => void): Promise<void> {
    this.#check?.segment(entry)
    for await (const step of this.#inspection.steps(entry)) {
      if (step.type === 'end') this.#bytes += step.validEnd
      else this.#step(entry, step)
      onStep(step.type === 'end' ? step.validEnd : step.offset)
    }
  }

  #step(entry: SegmentEntry, step: Exclude<SegmentStep, { readonly type: 'end' }>): void {
    const { segment, generation } = entry
    if (step.type === 'damage') {
      const { offset, mismatch, resumesAt, lost } = step
      const behind =
        resumesAt === undefined ? 'nothing valid follows' : `it goes on at ${resumesAt}`
      const message = `${mismatch}; ${behind}`
      this.#findings.add({ kind: 'group', message, segment, generation, offset })
      for (const { record, mismatch } of lost) {
        if (record !== undefined) this.#lost(entry, record, mismatch)
      }
    }
    const end = step.type === 'group' ? step.end : (step.resumesAt ?? entry.bytes)
    const groupEnd = { segment, generation, offset: end }
    for (const record of step.records) {
      this.#records++
      const { kind, seq, label, head, offset, headLength, bodyLength } = record
      const location = { segment, generation, offset, headLength, bodyLength }
      this.#check?.record({ kind, seq, label, head, location, groupEnd })
    }
  }

  #lost(entry: SegmentEntry, record: GroupRecord, message: string): void {
    const { segment, generation } = entry
    const { offset, seq } = record
    // Without its bytes, which are damaged: only what it is about is asked for.
    const { bucket, key } = recordDocument(record, Buffer.of(0))
    const about = placeOf({ segment, generation, offset, bucket, key, seq })
    this.#findings.add({ kind: 'record', message, ...about })
  }

  #progress(done: number, total: number): void {
    if (this.#options.signal.aborted) throw new WorkStoppedError()
    const share = total === 0 ? 100 : Math.floor((100 * done) / total)
    const figures = [`${share}%`, formatByteSize(done), ...this.#countText()]
    const elapsedMs = systemClock.monotonic() - this.#startedAt
    this.#options.onProgress({ phase: 'log', done, total, elapsedMs, figures })
  }

  #indexProgress(count: number): void {
    if (this.#options.signal.aborted) throw new WorkStoppedError()
    const elapsedMs = systemClock.monotonic() - this.#startedAt
    const figures = [`${count} entries`, ...this.#countText()]
    // An object is two entries: itself, and its place.
    const total = Math.max(count + 1, 2 * this.#records)
    this.#options.onProgress({ phase: 'index', done: count, total, elapsedMs, figures })
  }

  #countText(): readonly string[] {
    const count = Object.values(this.#findings.counts).reduce((sum, some) => sum + some, 0)
    return count === 0 ? [] : [`${count} ${count === 1 ? 'finding' : 'findings'}`]
  }
}
