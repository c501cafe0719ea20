/**
 * The HTTP threads of a site, as the engine's thread has them: started, told of what changes, asked what they
 * have counted, and closed. The engine's thread is one of those that take connections itself; with the others
 * it shares the port.
 *
 * It promises that no thread answers by what has been taken back: who may do what, what was purged. A thread
 * that fails is not replaced: its site ends, in order, so that the failure is seen.
 */
import { extname } from 'node:path'
import { Worker } from 'node:worker_threads'
import { type Clock, endOfTurn, type Timer } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { ObjectStore } from '../../store/model/object-store.ts'
import type { Volume } from '../../volume/volume.ts'
import type { AccessControl } from '../credentials/access.ts'
import type { RevokedTokens } from '../credentials/revoked-tokens.ts'
import { HttpThreadError } from '../errors.ts'
import type { TlsMaterial } from '../listener/tls-listener.ts'
import type { OperationFigures } from '../metrics/request-tally.ts'
import type { StorageReaders } from '../storage/storage.ts'
import {
  type CredentialsState,
  type FromThread,
  type ThreadStart,
  type ToThread,
  words,
  wordsBytes,
} from './messages.ts'
import { PutReceiver } from './put-receiver.ts'

/** Sources run as they stand in tests, compiled in the program. */
const script = new URL(`./http-thread${extname(import.meta.url)}`, import.meta.url)

/**
 * How often threads are asked for what they have counted, beside when somebody wants to know, and those that
 * could not read the index are told to try again.
 */
const reportMs = 5_000
/** Small bodies on their way, in memory at one time: of one thread, and of all together. */
const threadBytesMax = 16 * 2 ** 20
const allBytesMax = 64 * 2 ** 20
/** What a thread may take to close beyond the grace of its requests. */
const closeMs = 5_000

export interface HttpThreadsOptions
  extends Omit<ThreadStart, 'budgetBytes' | 'credentials' | 'volumeId' | 'words'> {
  /** Beside the engine's own. */
  readonly count: number
  /** What a thread runs; tests have others. */
  readonly script?: URL
  readonly volume: Volume
  readonly store: Pick<ObjectStore, 'putObject'>
  readonly access: AccessControl
  readonly revoked: RevokedTokens
  readonly onCounted: (operations: readonly OperationFigures[]) => void
  /** One that took connections has ended by itself. */
  readonly onFailed: (error: HttpThreadError) => void
  readonly clock: Clock
  readonly logger: Logger
}

/** There are none until they are started: until then, and where none ever are, nobody hears what they are told. */
export class HttpThreads implements StorageReaders {
  readonly #words = new Int32Array(new SharedArrayBuffer(wordsBytes))
  readonly #threads: ThreadLink[] = []
  #options: HttpThreadsOptions | undefined
  #mayEnterIndex = true
  #timer: Timer | undefined
  #closed = false

  /** Resolves when all of them take connections. @throws HttpThreadError */
  async start(options: HttpThreadsOptions): Promise<void> {
    this.#options = options
    const data = this.#startData(options)
    for (let number = 1; number <= options.count; number++) {
      this.#threads.push(new ThreadLink(data, options))
    }
    if (this.#mayEnterIndex) this.enter()
    await Promise.all(this.#threads.map((thread) => thread.listening))
    this.#askRegularly(options.clock)
  }

  /** From now on they answer; until then, whoever comes is told to wait. */
  serve(): void {
    this.#tell({ kind: 'serve' })
  }

  /** Body bytes that the threads hold, as of their last report. */
  get heldBytes(): number {
    return this.#threads.reduce((sum, { heldBytes }) => sum + heldBytes, 0)
  }

  /** How many can answer nothing themselves. */
  get withoutIndex(): number {
    return this.#withoutIndex().length
  }

  /** What is wrong, for everybody. */
  reasons(): readonly string[] {
    const without = this.#withoutIndex()
    if (without.length === 0) return []
    const since = new Date(Math.min(...without.map(([, since]) => since))).toISOString()
    return [
      `HTTP threads that cannot read the index since ${since}, ${without.length}: they pass on all requests`,
    ]
  }

  floorRaised(): void {
    Atomics.add(this.#words, words.floors, 1)
  }

  freed(segment: number): void {
    this.#tell({ kind: 'freed', segment })
  }

  /** Tokens were exchanged or revoked. */
  credentialsChanged(): void {
    if (this.#options === undefined) return
    Atomics.add(this.#words, words.credentials, 1)
    this.#tell({ kind: 'credentials', state: this.#credentials(this.#options) })
  }

  /** For new connections. */
  renewTls(material: TlsMaterial): void {
    this.#tell({ kind: 'certificates', material })
  }

  async leave(): Promise<void> {
    this.#mayEnterIndex = false
    await Promise.all(this.#threads.map((thread) => thread.leaveIndex()))
  }

  enter(): void {
    this.#mayEnterIndex = true
    this.#tell({ kind: 'enter index' })
  }

  /** Resolves when everything that they have counted so far was handed on. */
  async report(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.report()))
  }

  /** They accept nothing more; what is under way may finish for `graceMs`. */
  async close(graceMs: number): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    this.#timer?.cancel()
    await Promise.all(this.#threads.map((thread) => thread.close(graceMs)))
    this.#threads.length = 0
  }

  #tell(message: ToThread): void {
    for (const thread of this.#threads) thread.tell(message)
  }

  #withoutIndex(): readonly (readonly [thread: ThreadLink, since: number])[] {
    return this.#threads.flatMap((thread) => {
      const { withoutIndexSince: since } = thread
      return since === undefined ? [] : [[thread, since] as const]
    })
  }

  #tryAgain(): void {
    // While the index is being opened anew, they must not.
    if (!this.#mayEnterIndex) return
    for (const [thread] of this.#withoutIndex()) thread.tell({ kind: 'enter index' })
  }

  #credentials({ access, revoked }: HttpThreadsOptions): CredentialsState {
    const epoch = Atomics.load(this.#words, words.credentials)
    return { ...access.lists, epoch, revoked: revoked.digests() }
  }

  #startData(options: HttpThreadsOptions): ThreadStart {
    const { listen, engineSocket, indexPath, rules, autoCreateBuckets, answers } = options
    return {
      ...{ listen, engineSocket, indexPath, rules, autoCreateBuckets, answers },
      budgetBytes: Math.min(threadBytesMax, Math.floor(allBytesMax / options.count)),
      volumeId: options.volume.identity.volumeId,
      words: this.#words.buffer as SharedArrayBuffer,
      credentials: this.#credentials(options),
    }
  }

  #askRegularly(clock: Clock): void {
    this.#timer = clock.after(reportMs, () => {
      this.#tryAgain()
      void this.report().then(() => {
        if (!this.#closed) this.#askRegularly(clock)
      })
    })
  }
}

/** One of them, as this thread has it. */
class ThreadLink {
  readonly listening: Promise<void>
  heldBytes = 0
  /** It could not open it. */
  withoutIndexSince: number | undefined
  readonly #options: HttpThreadsOptions
  readonly #worker: Worker
  readonly #puts: PutReceiver
  /** Whoever waits for it to say something, by what. */
  readonly #awaited = new Map<FromThread['kind'], (() => void)[]>()
  #fail: (error: HttpThreadError) => void
  #isClosing = false
  /** It answers nothing any more. */
  #isOver = false

  constructor(workerData: ThreadStart, options: HttpThreadsOptions) {
    this.#options = options
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.listening = promise
    this.#fail = reject
    this.#await('listening', () => {
      this.#fail = (error) => {
        options.logger.error({ error: error.cause }, 'An HTTP thread has failed: the site ends')
        options.onFailed(error)
      }
      resolve()
    })
    this.#puts = new PutReceiver({
      ...{ store: options.store, endOfTurn },
      answer: (answers) => this.tell(answers),
    })
    this.#worker = new Worker(options.script ?? script, {
      name: 'comio-http',
      execArgv: [],
      env: {},
      workerData,
    })
    this.#worker.on('message', (message: FromThread) => this.#hear(message))
    this.#worker.on('error', (error) => {
      if (this.#isClosing) options.logger.error({ error }, 'An HTTP thread failed while it closed')
      this.#ended(error)
    })
    this.#worker.on('exit', (code) => this.#ended(new Error(`it exited with code ${code}`)))
  }

  tell(message: ToThread): void {
    this.#worker.postMessage(message)
  }

  leaveIndex(): Promise<void> {
    return this.#ask({ kind: 'leave index' }, 'left index')
  }

  report(): Promise<void> {
    return this.#ask({ kind: 'report' }, 'report')
  }

  async close(graceMs: number): Promise<void> {
    if (this.#isClosing) return
    this.#isClosing = true
    const { clock, logger } = this.#options
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = clock.after(graceMs + closeMs, () => {
      logger.warn({}, 'An HTTP thread did not close in time: it is ended')
      resolve()
    })
    await Promise.race([this.#ask({ kind: 'close', graceMs }, 'closed'), late])
    timer.cancel()
    // Before anybody goes on: it has the index open until then.
    await this.#worker.terminate()
    this.#release()
  }

  #ask(message: ToThread, answer: FromThread['kind']): Promise<void> {
    if (this.#isOver) return Promise.resolve()
    return new Promise((resolve) => {
      this.#await(answer, resolve)
      this.tell(message)
    })
  }

  #await(kind: FromThread['kind'], heard: () => void): void {
    const list = this.#awaited.get(kind)
    if (list === undefined) this.#awaited.set(kind, [heard])
    else list.push(heard)
  }

  #hear(message: FromThread): void {
    const { volume, logger, access, onCounted } = this.#options
    switch (message.kind) {
      case 'put':
        this.#puts.take(message)
        return
      case 'ask place':
        this.tell({ kind: 'place', use: message.use, place: volume.placeOf(message.use) })
        return
      case 'log':
        logger[message.level](message.fields, message.message)
        return
      case 'report':
        this.heldBytes = message.figures.heldBytes
        access.tokens.noteUses(message.figures.lastUsed)
        onCounted(message.figures.operations)
        break
      case 'entered index':
        this.#noteIndex(message.failure)
        return
      case 'closed':
      case 'left index':
      case 'listening':
        break
    }
    this.#awaited.get(message.kind)?.shift()?.()
  }

  #noteIndex(failure: string | undefined): void {
    const { clock, logger } = this.#options
    const since = this.withoutIndexSince
    if (failure === undefined) {
      this.withoutIndexSince = undefined
      if (since !== undefined) logger.info({}, 'An HTTP thread can read the index again')
    } else if (since === undefined) {
      this.withoutIndexSince = clock.now()
      const fields = { error: failure }
      logger.warn(fields, 'An HTTP thread cannot read the index: it passes on all requests')
    }
  }

  /** Nobody waits for it any more. */
  #release(): void {
    this.#isOver = true
    for (const list of this.#awaited.values()) for (const heard of list.splice(0)) heard()
  }

  #ended(cause: unknown): void {
    if (this.#isClosing) {
      this.#release()
      return
    }
    this.#isClosing = true
    this.#fail(
      new HttpThreadError(`an HTTP thread has ended: ${messageOf(cause)}`, {
        hint: 'Start the site again; with server.threads 1 it runs without such threads.',
        cause,
      }),
    )
    this.#release()
  }
}
