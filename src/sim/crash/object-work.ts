/** What clients of S3 do: puts of all sizes, deletes, reads, purges, buckets that come and go. */
import { inputOf, type WriteRecord } from '../history.ts'
import { type SlotName, slotOf } from '../site-contents.ts'
import { demand } from '../violation.ts'
import type { CrashClient } from './crash-client.ts'
import type { Intent } from './crash-model.ts'
import { siteName } from './crash-site.ts'
import { readObject } from './read-object.ts'

export class ObjectWork {
  readonly #client: CrashClient

  constructor(client: CrashClient) {
    this.#client = client
  }

  async put(name: SlotName): Promise<void> {
    await this.#client.alone(name, () => this.#putAs(name, 'whole'))
  }

  /** A body that ends early, or is not what its digest says. */
  async putBroken(name: SlotName): Promise<void> {
    const how = this.#client.parts.chance.pick(['short', 'wrong'] as const)
    await this.#client.alone(name, () => this.#putAs(name, how))
  }

  async #putAs(name: SlotName, how: 'whole' | 'short' | 'wrong'): Promise<void> {
    const { chance, history } = this.#client.parts
    const record = history.beginPut(siteName, name, Math.max(1, this.#client.size()))
    const createBucket = chance.hits(0.9)
    const intent: Intent = {
      slots: how === 'whole' ? [[name, record]] : [],
      ...(createBucket ? { bucket: [name.bucket, true] } : {}),
    }
    const outcome = await this.#client.change(
      `put ${record.id} ${slotOf(name)} ${how}`,
      intent,
      () =>
        this.#client.life.engine.putObject({
          ...name,
          ...inputOf(record),
          body: this.#body(record, how === 'short'),
          createBucket,
          ...(how === 'wrong' ? { expectedMd5: Buffer.alloc(16) } : {}),
        }),
    )
    this.#client.note(record, outcome)
    demand(how === 'whole' || outcome.kind !== 'answered', 'broken-put', () => record.id)
  }

  #body(record: WriteRecord, isShort: boolean): Uint8Array | AsyncIterable<Uint8Array> {
    const { content } = record
    const { chance } = this.#client.parts
    if (!isShort && (content.length <= 4096 || chance.hits(0.5))) return content
    return this.#stream(isShort ? content.subarray(0, chance.below(content.length)) : content)
  }

  async *#stream(content: Buffer): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < content.length; ) {
      const end = Math.min(content.length, at + this.#client.parts.chance.between(1, 9000))
      yield content.subarray(at, end)
      at = end
      if (this.#client.parts.chance.hits(0.3)) await this.#client.pause()
    }
  }

  async delete(name: SlotName): Promise<void> {
    await this.#client.alone(name, async () => {
      const { model } = this.#client.parts
      const before = model.current(name)
      const isSure = !this.#client.mayComeLate || model.isSure(name)
      const slots = before === undefined ? [] : [[name, undefined] as const]
      const outcome = await this.#client.change(`delete ${slotOf(name)}`, { slots }, () =>
        this.#client.life.engine.deleteObject(name),
      )
      // It may have removed what came late.
      if (!isSure) model.touched(name)
      if (outcome.kind !== 'answered' || !isSure) return
      const say = (): string => `${slotOf(name)}: ${outcome.value} with ${before?.id}`
      demand(outcome.value === (before !== undefined), 'delete-shows', say)
    })
  }

  async get(name: SlotName): Promise<void> {
    await this.#client.alone(name, async () => {
      const { history, model } = this.#client.parts
      const outcome = await this.#client.run(`get ${slotOf(name)}`, () =>
        readObject(this.#client.life.engine, name, history),
      )
      if (outcome.kind === 'answered') model.shows(name, outcome.value, this.#client.mayComeLate)
      if (outcome.kind !== 'failed') return
      const isFaulty = this.#client.parts.options.diskFaults.read > 0
      demand(isFaulty, 'readable', () => `${slotOf(name)}: ${outcome.error.message}`)
    })
  }

  async purge({ bucket }: SlotName): Promise<void> {
    await this.#client.aloneInBucket(bucket, async () => {
      const { model } = this.#client.parts
      const live = model.liveIn(bucket)
      const names = model.names.filter((name) => name.bucket === bucket)
      const slots = names.map((name) => [name, undefined] as const)
      const outcome = await this.#client.change(`purge ${bucket}`, { slots }, () =>
        this.#client.life.engine.purgeBucket(bucket),
      )
      // While the sweep of an earlier purge cannot read the index, what it has hidden is counted again.
      if (outcome.kind !== 'answered' || this.#client.parts.options.indexFaults > 0) return
      const bytes = live.reduce((sum, { content }) => sum + content.length, 0)
      const { value } = outcome
      const say = (): string => `${bucket}: ${value.count} of ${live.length}, ${value.bytes} bytes`
      demand(value.count === live.length && value.bytes === bytes, 'purge-count', say)
    })
  }

  async createBucket({ bucket }: SlotName): Promise<void> {
    await this.#client.aloneInBucket(bucket, async () => {
      const intent: Intent = { slots: [], bucket: [bucket, true], answerIfSo: false }
      const { engine } = this.#client.life
      const work = (): Promise<boolean> => engine.createBucket(bucket)
      await this.#client.change(`create ${bucket}`, intent, work)
    })
  }

  async deleteBucket({ bucket }: SlotName): Promise<void> {
    await this.#client.aloneInBucket(bucket, async () => {
      const { model } = this.#client.parts
      const isEmpty = model.liveIn(bucket).length === 0
      const names = model.names.filter((name) => name.bucket === bucket)
      const intent: Intent = isEmpty
        ? { slots: names.map((name) => [name, undefined] as const), bucket: [bucket, false] }
        : { slots: [] }
      const outcome = await this.#client.change(`remove ${bucket}`, intent, () =>
        this.#client.life.engine.deleteBucket(bucket),
      )
      if (this.#client.mayComeLate) {
        // What an earlier purge has hidden is in the way as long as its sweep cannot read the index.
        if (outcome.kind === 'answered' && !isEmpty) model.emptied(bucket)
        return
      }
      if (outcome.kind === 'answered') demand(isEmpty, 'bucket', () => `${bucket} was not empty`)
      if (outcome.kind !== 'refused') return
      const say = (): string => `${bucket}: ${outcome.code}`
      if (outcome.code === 'BUCKET_NOT_EMPTY') demand(!isEmpty, 'bucket', say)
      if (outcome.code === 'NO_SUCH_BUCKET') demand(model.isMade(bucket) !== true, 'bucket', say)
    })
  }
}
