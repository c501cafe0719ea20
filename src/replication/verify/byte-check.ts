/** Reads the bytes of every object at both sites and compares their hashes: what `--deep` adds. */

import { type ObjectSlot, objectSlot, type Slot } from '../../store/model/slot.ts'
import type { SlotState } from '../../store/model/survey.ts'
import type { Version } from '../../store/model/version.ts'
import { type ReadBytes, verifyLimits } from '../wire/verify-documents.ts'
import type { Difference, DifferenceKind } from './judge.ts'
import type { RemoteSurvey } from './remote-survey.ts'
import { type ComparedSite, readBytes } from './responder.ts'

export interface ByteCheckOptions {
  readonly site: ComparedSite
  readonly there: RemoteSurvey
  readonly onRead: (objects: number, bytes: number) => void
}

/** Bytes of the objects of one question: a larger object is asked about alone. */
const bytesAtOnce = 16 * 2 ** 20

interface Group {
  readonly slots: ObjectSlot[]
  bytes: number
}

export class ByteCheck {
  readonly #options: ByteCheckOptions

  constructor(options: ByteCheckOptions) {
    this.#options = options
  }

  async *differences(bucket: string): AsyncGenerator<readonly Difference[]> {
    let group: Group = { slots: [], bytes: 0 }
    for await (const { key, bytes } of this.#objects(bucket)) {
      const isFull = group.slots.length === verifyLimits.objects
      if (isFull || (group.slots.length > 0 && group.bytes + bytes > bytesAtOnce)) {
        yield await this.#read(group)
        group = { slots: [], bytes: 0 }
      }
      group.slots.push(objectSlot(bucket, key))
      group.bytes += bytes
    }
    if (group.slots.length > 0) yield await this.#read(group)
  }

  /** Looks once more at what was found to be damaged. */
  again(slots: readonly Slot[]): Promise<readonly Difference[]> {
    return this.#compare(slots.flatMap((slot) => (slot.kind === 'object' ? slot : [])))
  }

  async *#objects(
    bucket: string,
  ): AsyncGenerator<{ readonly key: string; readonly bytes: number }> {
    const { survey } = this.#options.site
    const whole = { table: 'objects', bucket, after: '', until: '', floor: undefined } as const
    for (let after = ''; ; ) {
      const entries = await survey.list({ ...whole, after }, verifyLimits.entries)
      for (const { key } of entries) {
        yield { key, bytes: survey.stateOf(objectSlot(bucket, key)).bytes }
      }
      if (entries.length < verifyLimits.entries) return
      after = entries.at(-1)?.key ?? ''
    }
  }

  async #read({ slots, bytes }: Group): Promise<readonly Difference[]> {
    const differences = await this.#compare(slots)
    this.#options.onRead(slots.length, bytes)
    return differences
  }

  async #compare(slots: Group['slots']): Promise<readonly Difference[]> {
    const { site, there } = this.#options
    const ours: ReadBytes[] = []
    const asked = there.bytes(slots)
    asked.catch(() => undefined) // thrown again below
    for (const slot of slots) ours.push(await readBytes(site, slot))
    const theirs = await asked
    const differences: Difference[] = []
    for (const [at, slot] of slots.entries()) {
      const our = ours[at] as ReadBytes
      const their = theirs[at] as ReadBytes
      // Where the versions differ, the digests have found it, or it changes just now.
      if (our.version === undefined || our.version !== their.version) continue
      const found = { version: our.version, seq: site.survey.stateOf(slot).seq }
      for (const kind of kindsOf(our, their)) {
        differences.push(difference(kind, slot, found))
      }
    }
    return differences
  }
}

function kindsOf(our: ReadBytes, their: ReadBytes): readonly DifferenceKind[] {
  // A remote that does not say what it expects goes by what this site does.
  const there = their.expected === '' ? our.expected : their.expected
  const kinds: DifferenceKind[] = []
  if (isBad(our, our.expected)) kinds.push('corrupt-here')
  if (isBad(their, there)) kinds.push('corrupt-there')
  // Sound at both, and not the same: of what the indexes say, the digests have found it.
  const isFound = our.expected !== there
  return kinds.length === 0 && our.sha256 !== their.sha256 && !isFound ? ['differs'] : kinds
}

function isBad({ result, sha256 }: ReadBytes, expected: string): boolean {
  return result === 'unreadable' || (expected !== '' && sha256 !== expected)
}

function difference(
  kind: DifferenceKind,
  slot: Slot,
  { version, seq }: { readonly version: Version; readonly seq: SlotState['seq'] },
): Difference {
  return { kind, what: 'object', slot, here: version, there: version, seq }
}
