/**
 * The network between sites. A call is a request that travels, is served, and an answer that travels
 * back; either may be slow, be lost in silence, or break with a word, and a request may arrive twice.
 * Calls overtake each other, since each has its own delays.
 */
import type { Chance } from './chance.ts'
import type { EventQueue } from './event-queue.ts'
import type { Trace } from './trace.ts'

/** Probabilities for each message. */
export interface NetworkFaults {
  readonly lose: number
  /** The request is executed again, some time later. */
  readonly duplicate: number
  /** For each piece of a body: the connection breaks behind it. */
  readonly cut: number
}

export const noNetworkFaults: NetworkFaults = { lose: 0, duplicate: 0, cut: 0 }

export interface SimNetworkOptions {
  readonly queue: EventQueue
  readonly chance: Chance
  readonly trace: Trace
  /** Mean time of one way, ms. */
  readonly latencyMs: number
  readonly faults: NetworkFaults
}

/** A process that calls. */
export interface Caller {
  readonly site: string
  /** A dead one gets no answer. */
  isAlive(): boolean
}

export interface Call<T> {
  /** For the trace. */
  readonly what: string
  readonly from: Caller
  readonly to: string
  readonly signal: AbortSignal
  /** Runs at the other site. */
  readonly serve: () => Promise<T>
  /** What the caller gets when the call fails on its way. */
  readonly broken: (reason: string) => Error
}

/** As long as the transports wait for any sign of progress. */
const silenceMs = 30_000
const duplicateDelayMs = 3000

export class SimNetwork {
  readonly #queue: EventQueue
  readonly #chance: Chance
  readonly #trace: Trace
  readonly #latencyMs: number
  readonly #severed = new Set<string>()
  readonly #open = new Set<OpenCall>()
  #faults: NetworkFaults

  constructor(options: SimNetworkOptions) {
    this.#queue = options.queue
    this.#chance = options.chance
    this.#trace = options.trace
    this.#latencyMs = options.latencyMs
    this.#faults = options.faults
  }

  /** Nothing gets from `from` to `to` any more. */
  sever(from: string, to: string): void {
    this.#severed.add(wayOf(from, to))
  }

  mend(from: string, to: string): void {
    this.#severed.delete(wayOf(from, to))
  }

  /** The connections of a site that was killed break; after a power failure they stay silent. */
  reset(site: string): void {
    for (const open of this.#open) {
      if (open.to !== site) continue
      this.#queue.after(this.#delay(), () => open.lost('the connection was cut'))
    }
  }

  /** From now on everything arrives, once. */
  heal(): void {
    this.#severed.clear()
    this.#faults = noNetworkFaults
  }

  /** Resolves with the answer. Rejects when the signal aborts, the call breaks, or all stays silent. */
  call<T>(call: Call<T>): Promise<T> {
    const { from, to } = call
    return this.#begin(call, (ending) => {
      const lost = (reason: string): void => ending.reject(call.broken(reason))
      const arrive = (): void => {
        this.#serve(call, ending)
        if (!this.#chance.hits(this.#faults.duplicate)) return
        this.#queue.after(this.#chance.around(duplicateDelayMs), () => {
          call.serve().catch(() => undefined) // nobody waits for what a duplicate is answered
        })
      }
      this.#travel({ from: from.site, to, arrive, lost })
    })
  }

  /** The next piece of a body that is being served: as a call, but nothing has to travel there. */
  piece<T>(call: Call<T>): Promise<T> {
    return this.#begin(call, (ending) => {
      if (this.#chance.hits(this.#faults.cut)) {
        this.#queue.after(this.#delay(), () => ending.reject(call.broken('the connection was cut')))
      } else {
        this.#serve(call, ending)
      }
    })
  }

  #begin<T>(call: Call<T>, run: (ending: Ending<T>) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      let ended = false
      const end = (settle: () => void): void => {
        if (ended) return
        ended = true
        silence.cancel()
        this.#open.delete(open)
        call.signal.removeEventListener('abort', abort)
        if (call.from.isAlive()) settle()
      }
      const note = (how: string): void =>
        this.#trace.add('call', `${call.from.site}>${call.to} ${call.what}: ${how}`)
      const ending: Ending<T> = {
        resolve: (value) =>
          end(() => {
            note('answered')
            resolve(value)
          }),
        reject: (error) =>
          end(() => {
            note(error.message)
            reject(error)
          }),
      }
      const lost = (reason: string): void => ending.reject(call.broken(reason))
      const abort = (): void => lost('it was stopped')
      const open: OpenCall = { to: call.to, lost }
      const silence = this.#queue.after(silenceMs, () => lost('nothing came for 30 s'))
      if (call.signal.aborted) return abort()
      this.#open.add(open)
      call.signal.addEventListener('abort', abort, { once: true })
      run(ending)
    })
  }

  #serve<T>(call: Call<T>, ending: Ending<T>): void {
    const back = (arrive: () => void): void => {
      const lost = (reason: string): void => ending.reject(call.broken(reason))
      this.#travel({ from: call.to, to: call.from.site, arrive, lost })
    }
    call.serve().then(
      (value) => back(() => ending.resolve(value)),
      (error: Error) => back(() => ending.reject(error)),
    )
  }

  #travel(message: {
    readonly from: string
    readonly to: string
    readonly arrive: () => void
    readonly lost: (reason: string) => void
  }): void {
    const { from, to, arrive, lost } = message
    const isLost = this.#chance.hits(this.#faults.lose)
    const isNoticed = this.#chance.hits(0.5)
    this.#queue.after(this.#delay(), () => {
      if (!isLost && !this.#severed.has(wayOf(from, to))) arrive()
      else if (isNoticed) lost('the connection was cut')
    })
  }

  #delay(): number {
    return this.#chance.around(this.#latencyMs)
  }
}

interface OpenCall {
  readonly to: string
  readonly lost: (reason: string) => void
}

interface Ending<T> {
  readonly resolve: (value: T) => void
  readonly reject: (error: Error) => void
}

function wayOf(from: string, to: string): string {
  return `${from} ${to}`
}
