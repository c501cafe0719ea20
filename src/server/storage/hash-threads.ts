/**
 * Hashing of large bodies beside the main thread: MD5 takes a core for itself at some 600 MiB/s, and
 * everything else a site does would wait for it. Each body has its MD5, where that is wanted, on one thread
 * and its SHA-256 on another; the threads are few, shared by all bodies, and started when the first one comes.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type {
  BodyDigests,
  BodyHasher,
  ContentHasher,
  Hashing,
} from '../../store/model/body-hasher.ts'
import { HashThreadError } from '../errors.ts'
import type { HashAlgorithm, HashAnswer, HashOrder } from './hash-thread.ts'

/** Sources run as they stand in tests, compiled in the program. */
const script = new URL(`./hash-thread${extname(import.meta.url)}`, import.meta.url)

/** What the threads should share evenly: about how long each takes for a byte. */
const weights: Readonly<Record<HashAlgorithm, number>> = { md5: 2, sha256: 1 }

export interface HashThreadsOptions {
  /** How many at most; at least two. */
  readonly count: number
  readonly logger: Logger
  /** What a thread runs; tests have others. */
  readonly script?: URL
}

export class HashThreads implements Hashing {
  readonly #options: HashThreadsOptions
  readonly #threads: HashThread[] = []
  #closed = false

  constructor(options: HashThreadsOptions) {
    this.#options = options
  }

  /** How many are running. */
  get running(): number {
    return this.#threads.length
  }

  /** @throws HashThreadError once it was closed */
  openBody(): BodyHasher {
    if (this.#closed) throw stopping()
    const md5 = this.#take('md5')
    return new ThreadedBodyHasher(md5, this.#take('sha256', md5.thread))
  }

  /** @throws HashThreadError once it was closed */
  openContent(): ContentHasher {
    if (this.#closed) throw stopping()
    return this.#take('sha256')
  }

  /** What is being hashed fails. */
  async close(): Promise<void> {
    this.#closed = true
    await Promise.all(this.#threads.splice(0).map((thread) => thread.close()))
  }

  /** On the thread with the least to do, other than `beside`. */
  #take(algorithm: HashAlgorithm, beside?: HashThread): HashJob {
    let least: HashThread | undefined
    for (const thread of this.#threads) {
      if (thread !== beside && thread.load < (least?.load ?? Number.POSITIVE_INFINITY)) {
        least = thread
      }
    }
    const mayStart = this.#threads.length < this.#options.count
    const isIdle = least?.load === 0
    const thread = least === undefined || (mayStart && !isIdle) ? this.#start() : least
    return new HashJob(thread, algorithm)
  }

  #start(): HashThread {
    const { logger } = this.#options
    const thread = new HashThread(this.#options.script ?? script, (error) => {
      const at = this.#threads.indexOf(thread)
      if (at >= 0) this.#threads.splice(at, 1)
      logger.error({ error }, 'A hashing thread has ended: the uploads that it worked for fail')
    })
    this.#threads.push(thread)
    return thread
  }
}

interface Awaited {
  readonly resolve: (answer: HashAnswer) => void
  readonly reject: (error: HashThreadError) => void
}

class HashThread {
  /** Sum of the weights of its open jobs. */
  load = 0
  readonly #worker: Worker
  /** In the order of the orders. */
  readonly #awaited: Awaited[] = []
  #failure: HashThreadError | undefined

  constructor(file: URL, onFailed: (error: HashThreadError) => void) {
    this.#worker = new Worker(file, { name: 'comio-hash', execArgv: [], env: {} })
    // Whoever waits for an answer keeps the process alive by other means.
    this.#worker.unref()
    this.#worker.on('message', (answer: HashAnswer) => this.#awaited.shift()?.resolve(answer))
    const ended = (cause: unknown): void => {
      if (this.#failure !== undefined) return
      const error = new HashThreadError(`a hashing thread has ended: ${messageOf(cause)}`, {
        hint: 'Send the upload again: another thread takes its place.',
        cause,
      })
      this.fail(error)
      onFailed(error)
    }
    this.#worker.on('error', ended)
    this.#worker.on('messageerror', ended)
    this.#worker.on('exit', (code) => ended(new Error(`it exited with code ${code}`)))
  }

  tell(order: HashOrder): void {
    if (this.#failure === undefined) this.#worker.postMessage(order)
  }

  ask(order: HashOrder): Promise<HashAnswer> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => {
      this.#awaited.push({ resolve, reject })
      this.#worker.postMessage(order)
    })
  }

  /** Everything that is asked of it, or will be, fails. */
  fail(error: HashThreadError): void {
    this.#failure ??= error
    for (const { reject } of this.#awaited.splice(0)) reject(this.#failure)
    void this.#worker.terminate()
  }

  async close(): Promise<void> {
    this.fail(stopping())
    await this.#worker.terminate()
  }
}

let jobs = 0

/** One hash on one thread. */
class HashJob implements ContentHasher {
  readonly thread: HashThread
  readonly #weight: number
  readonly #job: Pick<HashOrder, 'job' | 'algorithm'>
  /** The thread has something of it. */
  #begun = false
  #closed = false

  constructor(thread: HashThread, algorithm: HashAlgorithm) {
    this.thread = thread
    this.#job = { job: ++jobs, algorithm }
    this.#weight = weights[algorithm]
    thread.load += this.#weight
  }

  async update(bytes: Uint8Array): Promise<void> {
    this.#begun = true
    await this.thread.ask({ kind: 'update', ...this.#job, bytes })
  }

  async digest(): Promise<Buffer> {
    this.#begun = false
    const digest = await this.thread.ask({ kind: 'digest', ...this.#job })
    if (digest === undefined) throw new HashThreadError('a hashing thread answered out of turn')
    return Buffer.from(digest)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.thread.load -= this.#weight
    if (this.#begun) this.thread.tell({ kind: 'close', ...this.#job })
  }
}

class ThreadedBodyHasher implements BodyHasher {
  readonly #md5: HashJob
  readonly #sha256: HashJob

  constructor(md5: HashJob, sha256: HashJob) {
    this.#md5 = md5
    this.#sha256 = sha256
  }

  async update(bytes: Uint8Array): Promise<void> {
    const hashed = await Promise.allSettled([this.#md5.update(bytes), this.#sha256.update(bytes)])
    // Both are done with the bytes by now, whichever failed.
    for (const { status, reason } of hashed as PromiseRejectedResult[]) {
      if (status === 'rejected') throw reason
    }
  }

  async digest(): Promise<BodyDigests> {
    const [md5, sha256] = await Promise.all([this.#md5.digest(), this.#sha256.digest()])
    return { md5, sha256 }
  }

  close(): void {
    this.#md5.close()
    this.#sha256.close()
  }
}

function stopping(): HashThreadError {
  return new HashThreadError('the upload was cut off: the site is stopping', {
    hint: 'Send it again when the site has started.',
  })
}
