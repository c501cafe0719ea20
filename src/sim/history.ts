/** What clients have asked for, and what they were answered. */
import { createHash } from 'node:crypto'
import { originOf } from '../store/model/kept-copy.ts'
import type { ObjectInfo, PutInput } from '../store/model/object-store.ts'
import type { Version } from '../store/model/version.ts'
import { type SlotName, slotOf } from './site-contents.ts'
import { demand, Violation } from './violation.ts'

/** One put: its metadata carries its id, so that whatever is read tells which put it is. */
export interface WriteRecord {
  readonly id: string
  readonly site: string
  readonly slot: string
  readonly content: Buffer
  readonly etag: string
  /** `running` and `unknown` ones may take effect, wholly; `refused` ones must not. */
  state: 'running' | 'answered' | 'refused' | 'unknown'
  /** Known once it was answered or seen. */
  version: Version | undefined
  lastModified: number | undefined
}

const patternBytes = 128 * 1024
const repeatedBytes = 64

export class History {
  readonly #writes = new Map<string, WriteRecord>()
  readonly #deletes = new Set<string>()
  readonly #purges = new Set<string>()
  /** Bytes that look random: contents are cut from it at places of their own, or repeat a piece of it. */
  readonly #pattern: Buffer

  constructor() {
    this.#pattern = createHash('shake256', { outputLength: patternBytes }).digest()
  }

  beginPut(site: string, name: SlotName, size: number): WriteRecord {
    const number = this.#writes.size + 1
    const content = this.#contentOf(number, size)
    content.write(`w${number}|`.slice(0, size))
    const record: WriteRecord = {
      id: `w${number}`,
      site,
      slot: slotOf(name),
      content,
      etag: createHash('md5').update(content).digest('hex'),
      state: 'running',
      version: undefined,
      lastModified: undefined,
    }
    this.#writes.set(record.id, record)
    return record
  }

  /** Two of three do not compress, the third does well: links meet both, and batches of both. */
  #contentOf(number: number, size: number): Buffer {
    const start = (number * 7919) % (patternBytes / 2)
    if (number % 3 !== 0) return Buffer.from(this.#pattern.subarray(start, start + size))
    return Buffer.alloc(size, this.#pattern.subarray(start, start + repeatedBytes))
  }

  beginDelete(site: string, name: SlotName): void {
    this.#deletes.add(`${site} ${slotOf(name)}`)
  }

  beginPurge(site: string, bucket: string): void {
    this.#purges.add(`${site} ${bucket}`)
  }

  hasDelete(site: string, slot: string): boolean {
    return this.#deletes.has(`${site} ${slot}`)
  }

  hasPurge(site: string, bucket: string): boolean {
    return this.#purges.has(`${site} ${bucket}`)
  }

  /** The put that `info` shows. @throws Violation unless it is one, as it was written */
  identify(info: ObjectInfo): WriteRecord {
    const { meta, version } = info
    const record = this.#writes.get(meta.userMetadata.id ?? '')
    if (record === undefined) throw new Violation('identity', `nobody wrote ${slotOf(info)}`)
    const say = (what: string) => () => `${record.id} in ${record.slot} ${what}`
    const origin = originOf(info.key, version)
    const slot = slotOf({ bucket: info.bucket, key: origin === version ? info.key : keyOf(info) })
    demand(record.slot === slot, 'identity', say(`is shown as ${slotOf(info)}`))
    demand(record.state !== 'refused', 'identity', say('was refused and is there'))
    record.version ??= origin
    record.lastModified ??= meta.lastModified
    demand(record.version === origin, 'identity', say(`has two versions, one is ${version}`))
    demand(record.lastModified === meta.lastModified, 'metadata', say('has two modification times'))
    const isSame =
      meta.etag === record.etag &&
      meta.size === record.content.length &&
      meta.headers['content-type'] === contentTypeOf(record)
    demand(isSame, 'metadata', say('has other metadata than it was written with'))
    return record
  }

  /** @throws Violation unless `bytes` are those of the put that `info` shows */
  compare(info: ObjectInfo, bytes: Uint8Array): void {
    const record = this.identify(info)
    demand(
      record.content.equals(bytes),
      'content',
      () => `${record.id} has other bytes than written`,
    )
  }
}

/** The key that a kept copy was written under. */
function keyOf({ key }: SlotName): string {
  return key.replace(/\.conflict-[^/]*$/, '')
}

/** What a put of the whole content says. */
export function inputOf(
  record: WriteRecord,
): Pick<PutInput, 'contentLength' | 'body' | 'headers' | 'userMetadata' | 'createBucket'> {
  return {
    contentLength: record.content.length,
    body: record.content,
    headers: { 'content-type': contentTypeOf(record) },
    userMetadata: { id: record.id },
    createBucket: true,
  }
}

function contentTypeOf(record: WriteRecord): string {
  return `text/${record.id}`
}
