/**
 * An HTTP thread: it takes connections of the site's port, answers what it can by itself, and passes on the
 * rest (`s3/front-handler.ts`). It reads the index and the segments beside the engine's thread, and writes
 * neither. What it may not know for sure, it does not answer: a site with threads answers as one without.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { rethrowAssertion } from '../../base/assert.ts'
import { ByteBudget } from '../../base/byte-budget.ts'
import { endOfTurn, systemClock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import { systemRandom } from '../../base/random.ts'
import { diskReads } from '../../device/file-calls.ts'
import { SharedIndex } from '../../index/shared-index.ts'
import { createFrontHandler } from '../../s3/front-handler.ts'
import type { ObjectAtHand } from '../../s3/operations/get-object.ts'
import type { ObjectName } from '../../store/model/object-store.ts'
import { ObjectView } from '../../store/read/object-view.ts'
import { RecordView } from '../../volume/read/record-view.ts'
import { AccessControl } from '../credentials/access.ts'
import { Listener } from '../listener/listener.ts'
import { RequestTally } from '../metrics/request-tally.ts'
import {
  type CredentialsState,
  type FromThread,
  type ThreadStart,
  type ToThread,
  words,
} from './messages.ts'
import { PassOn } from './pass-on.ts'
import { PutSender } from './put-sender.ts'
import { threadLogger } from './thread-logger.ts'

class HttpThread {
  readonly #start: ThreadStart
  readonly #post: (message: FromThread, handedOver?: ArrayBuffer[]) => void
  readonly #logger
  readonly #words: Int32Array
  readonly #budget: ByteBudget
  readonly #tally = new RequestTally()
  readonly #puts: PutSender
  readonly #passOn: PassOn
  readonly #records: RecordView
  readonly #revoked = new Set<string>()
  readonly #access: AccessControl
  #credentials: CredentialsState
  #listener: Listener | undefined
  #index: SharedIndex | undefined
  /** What finds objects, while the index is open. */
  #objects: ObjectView | undefined
  /** Opening and closing the index, one after the other. */
  #indexSteps = Promise.resolve()

  constructor(start: ThreadStart, post: (message: FromThread, handedOver?: ArrayBuffer[]) => void) {
    this.#start = start
    this.#post = post
    this.#logger = threadLogger(post)
    this.#words = new Int32Array(start.words)
    this.#budget = new ByteBudget({ clock: systemClock, capacityBytes: start.budgetBytes })
    this.#puts = new PutSender({ send: (message) => post(message, [message.bytes]), endOfTurn })
    this.#passOn = new PassOn({ socketPath: start.engineSocket, logger: this.#logger })
    this.#records = new RecordView({
      ...{ volumeId: start.volumeId, clock: systemClock, diskReads },
      ask: (use) => post({ kind: 'ask place', use }),
    })
    const { tokens, acceptTokens } = start.credentials
    this.#access = new AccessControl({
      ...{ ...start.rules, tokens, acceptTokens },
      revocations: this.#revoked,
      clock: systemClock,
    })
    this.#credentials = start.credentials
    this.#takeCredentials(start.credentials)
  }

  async run(): Promise<void> {
    const { listen } = this.#start
    this.#listener = await Listener.open({ ...listen, logger: this.#logger })
    this.#post({ kind: 'listening' })
  }

  hear(message: ToThread): void {
    switch (message.kind) {
      case 'put':
        this.#puts.answered(message.stored, message.refused)
        break
      case 'place':
        this.#records.opened(message.use, message.place)
        break
      case 'freed':
        this.#records.freed(message.segment)
        break
      case 'credentials':
        this.#takeCredentials(message.state)
        break
      case 'certificates':
        this.#listener?.renewTls(message.material)
        break
      case 'serve':
        this.#listener?.serve(this.#start.answers ? this.#handler() : this.#passOnAll)
        break
      case 'leave index':
        this.#stepIndex(() => this.#leaveIndex())
        break
      case 'enter index':
        this.#stepIndex(() => this.#enterIndex())
        break
      case 'report':
        this.#report()
        break
      case 'close':
        void this.#close(message.graceMs)
        break
    }
  }

  readonly #passOnAll = (...[request, response]: Parameters<PassOn['handle']>): void => {
    this.#passOn.handle(request, response)
  }

  #handler() {
    const handle = createFrontHandler({
      ...{ clock: systemClock, random: systemRandom, logger: this.#logger, budget: this.#budget },
      autoCreateBuckets: this.#start.autoCreateBuckets,
      observe: (observation) => this.#tally.add(observation),
      find: (name) => this.#find(name),
      store: this.#puts.store,
      mayAnswer: (request, access) =>
        this.#credentials.epoch === Atomics.load(this.#words, words.credentials) &&
        this.#access.data(request, access) === undefined,
      passOn: this.#passOnAll,
    })
    return (...[request, response]: Parameters<typeof handle>): void => {
      // The other planes, and what has a form of its own, are the engine's thread's.
      const url = request.url ?? ''
      if (url.startsWith('/') && !url.startsWith('/admin')) handle(request, response)
      else this.#passOn.handle(request, response)
    }
  }

  #find(name: ObjectName): ObjectAtHand | undefined {
    try {
      return this.#objects?.find(name)
    } catch (thrown) {
      rethrowAssertion(thrown)
      // The engine's thread meets it as well, and says so.
      return undefined
    }
  }

  #takeCredentials(state: CredentialsState): void {
    this.#revoked.clear()
    for (const digest of state.revoked) this.#revoked.add(digest)
    this.#access.replaceTokens(state)
    this.#credentials = state
  }

  #stepIndex(step: () => Promise<void>): void {
    this.#indexSteps = this.#indexSteps.then(step)
  }

  async #leaveIndex(): Promise<void> {
    const index = this.#index
    this.#objects = undefined
    this.#index = undefined
    await index?.close()
    this.#post({ kind: 'left index' })
  }

  async #enterIndex(): Promise<void> {
    const failure = this.#index === undefined ? await this.#openIndex() : undefined
    this.#post({ kind: 'entered index', failure })
  }

  /** Resolves to why it does not open, where it does not. */
  async #openIndex(): Promise<string | undefined> {
    try {
      const index = await SharedIndex.open(this.#start.indexPath)
      this.#index = index
      this.#objects = new ObjectView({
        ...{ index, reader: this.#records },
        floorsEpoch: () => Atomics.load(this.#words, words.floors),
      })
      return undefined
    } catch (thrown) {
      rethrowAssertion(thrown)
      return messageOf(thrown)
    }
  }

  #report(): void {
    const figures = {
      operations: this.#tally.take(),
      heldBytes: this.#budget.heldBytes,
      lastUsed: this.#access.tokens.uses(),
    }
    this.#post({ kind: 'report', figures })
  }

  async #close(graceMs: number): Promise<void> {
    await this.#listener?.close(graceMs)
    this.#passOn.close()
    this.#report()
    this.#stepIndex(() => this.#leaveIndex())
    await this.#indexSteps
    this.#records.close()
    this.#post({ kind: 'closed' })
  }
}

const port = parentPort
if (port !== null) {
  const thread = new HttpThread(workerData as ThreadStart, (message, handedOver = []) =>
    port.postMessage(message, handedOver),
  )
  port.on('message', (message: ToThread) => thread.hear(message))
  await thread.run()
}
