import type { ListedObject, ObjectDigest, S3Client } from '../s3/client.ts'
import { S3ResponseError } from '../s3/client-errors.ts'
import { nameOf, type WrittenObject } from './writer.ts'

export interface CompareOptions {
  readonly a: S3Client
  readonly b: S3Client
  /** What was answered at A: both sites must have this and nothing else. */
  readonly written: readonly WrittenObject[]
  readonly concurrency: number
  readonly onObject: (done: number, total: number) => void
  readonly signal: AbortSignal | undefined
}

export interface Comparison {
  readonly objects: number
  readonly bytes: number
  readonly differences: number
  /** The first few, in words. */
  readonly examples: readonly string[]
}

interface Named extends ListedObject {
  readonly bucket: string
}

const examplesMax = 10

/** Headers that belong to the answer and not to the object. */
const headersOfTheAnswer: ReadonlySet<string> = new Set([
  ...['date', 'connection', 'keep-alive', 'server', 'x-amz-request-id', 'x-amz-id-2'],
])

/** Compares both sites object by object: key, bytes by hash, ETag, metadata; and with what was written. */
export async function compareSites(options: CompareOptions): Promise<Comparison> {
  const [atA, atB] = await Promise.all([listSite(options, 'a'), listSite(options, 'b')])
  const comparison = new SiteComparison(options, atB)
  await comparison.run([...atA.values()])
  return comparison.result()
}

class SiteComparison {
  readonly #options: CompareOptions
  readonly #expected: ReadonlyMap<string, WrittenObject>
  readonly #unseenAtB: Map<string, Named>
  readonly #unseenExpected: Set<string>
  readonly #examples: string[] = []
  #differences = 0
  #objects = 0
  #bytes = 0

  constructor(options: CompareOptions, atB: ReadonlyMap<string, Named>) {
    this.#options = options
    this.#expected = new Map(
      options.written.map((object) => [nameOf(object.bucket, object.key), object]),
    )
    this.#unseenAtB = new Map(atB)
    this.#unseenExpected = new Set(this.#expected.keys())
  }

  async run(atA: readonly Named[]): Promise<void> {
    const queue = atA.values()
    const work = async (): Promise<void> => {
      for (const object of queue) {
        await this.#compare(object)
        this.#options.onObject(++this.#objects, atA.length)
      }
    }
    await Promise.all(Array.from({ length: this.#options.concurrency }, work))
    for (const name of this.#unseenAtB.keys()) this.#differs(`${name} is only at B`)
    for (const name of this.#unseenExpected) this.#differs(`${name} was answered and is not at A`)
  }

  result(): Comparison {
    return {
      objects: this.#objects,
      bytes: this.#bytes,
      differences: this.#differences,
      examples: this.#examples,
    }
  }

  async #compare(object: Named): Promise<void> {
    const { a, b, signal } = this.#options
    const { bucket, key } = object
    const name = nameOf(bucket, key)
    this.#unseenExpected.delete(name)
    const listedAtB = this.#unseenAtB.get(name)
    this.#unseenAtB.delete(name)
    const address = { bucket, key, ...(signal === undefined ? {} : { signal }) }
    const [atA, atB] = await Promise.all([digestOf(a, address), digestOf(b, address)])
    this.#bytes += atA?.contentLength ?? 0
    if (atA === undefined || atB === undefined || listedAtB === undefined) {
      this.#differs(`${name} is ${atA === undefined ? 'listed but missing at A' : 'only at A'}`)
      return
    }
    const different = differencesOf(atA, atB)
    if (object.etag !== listedAtB.etag || object.size !== listedAtB.size) different.push('the list')
    if (atA.sha256 !== this.#expected.get(name)?.sha256) different.push('what was written')
    if (different.length > 0) this.#differs(`${name} differs in ${different.join(', ')}`)
  }

  #differs(what: string): void {
    this.#differences++
    if (this.#examples.length < examplesMax) this.#examples.push(what)
  }
}

/** What two answers for one object do not have in common: nothing, if they are equal. */
function differencesOf(a: ObjectDigest, b: ObjectDigest): string[] {
  const names = new Set([...Object.keys(a.headers), ...Object.keys(b.headers)])
  const different = [...names]
    .filter((name) => !headersOfTheAnswer.has(name) && a.headers[name] !== b.headers[name])
    .sort()
  return a.sha256 === b.sha256 ? different : ['bytes', ...different]
}

async function listSite(
  options: CompareOptions,
  site: 'a' | 'b',
): Promise<ReadonlyMap<string, Named>> {
  const { [site]: client, signal } = options
  const listed = new Map<string, Named>()
  for (const bucket of await client.listBuckets(signal)) {
    const request = { bucket, ...(signal === undefined ? {} : { signal }) }
    for await (const object of client.listObjects(request)) {
      listed.set(nameOf(bucket, object.key), { ...object, bucket })
    }
  }
  return listed
}

async function digestOf(
  client: S3Client,
  address: { readonly bucket: string; readonly key: string; readonly signal?: AbortSignal },
): Promise<ObjectDigest | undefined> {
  try {
    return await client.digestObject(address)
  } catch (error) {
    if (error instanceof S3ResponseError && error.status === 404) return undefined
    throw error
  }
}
