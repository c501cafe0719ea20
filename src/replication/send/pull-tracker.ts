/**
 * Waits for the outcomes of pulls: one long poll to the remote, only while pulls are outstanding, so
 * that an idle pair of sites exchanges next to nothing.
 */
import { rethrowAssertion } from '../../base/assert.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { Wakeup } from '../../base/wakeup.ts'
import { judgeFailure } from '../wire/failure.ts'
import { type Completion, completionsCountMax, completionsWaitMsMax } from '../wire/protocol.ts'
import type { RemoteTransport } from '../wire/transport.ts'
import type { Connection, Session } from './connection.ts'
import type { SendWindow } from './send-window.ts'
import type { Sender } from './sender.ts'
import type { Shipment } from './shipment.ts'

/** Between two polls at least, unless there is news. */
const pollPauseMs = 100

export interface PullTrackerOptions {
  readonly transport: RemoteTransport
  readonly connection: Connection
  readonly window: SendWindow
  readonly sender: Sender
  readonly identity: { readonly volumeId: string; readonly incarnation: string }
  readonly clock: Clock
}

export class PullTracker {
  readonly #options: PullTrackerOptions
  readonly #bell = new Wakeup()
  /** Outcomes received and acted on, which the remote may forget. */
  #received: number[] = []
  #closed = false

  constructor(options: PullTrackerOptions) {
    this.#options = options
  }

  /** A pull has begun. */
  ring(): void {
    this.#bell.ring()
  }

  async run(): Promise<void> {
    const { connection, window } = this.#options
    while (!this.#closed) {
      const session = await connection.opened()
      if (session === undefined) return
      const pulls = window.pulls()
      if (pulls.length === 0) await this.#bell.wait()
      else await this.#poll(session, pulls)
    }
  }

  close(): void {
    this.#closed = true
    this.#bell.ring()
  }

  async #poll(session: Session, pulls: readonly Shipment[]): Promise<void> {
    const { transport, connection, identity, clock } = this.#options
    const askedAt = clock.monotonic()
    const asked = pulls.slice(0, completionsCountMax)
    const forget = this.#received.slice(0, completionsCountMax)
    let completions: readonly Completion[]
    try {
      const answer = await transport.awaitCompletions(
        {
          session: session.answer.session,
          volumeId: identity.volumeId,
          incarnation: identity.incarnation,
          waitMs: completionsWaitMsMax,
          seqs: asked.map((shipment) => shipment.place.seq),
          forget,
        },
        session.signal,
      )
      completions = answer.completions
    } catch (error) {
      rethrowAssertion(error)
      if (session.signal.aborted) return
      connection.trip(session, judgeFailure(error))
      return
    }
    connection.exchanged(session)
    this.#received = this.#received.slice(forget.length)
    // The remote knows them and goes on: their bytes stay pinned for another term.
    for (const shipment of asked) shipment.lease?.renew()
    // An answer without news before its time must not turn this into a busy loop.
    if (!(await this.#digest(completions)) && clock.monotonic() - askedAt < pollPauseMs) {
      await delay(clock, pollPauseMs, session.signal)
    }
  }

  /** Whether anything was learned. */
  async #digest(completions: readonly Completion[]): Promise<boolean> {
    let learned = false
    const pulling = new Map(
      this.#options.window.pulls().map((shipment) => [shipment.place.seq, shipment]),
    )
    for (const { seq, outcome } of completions) {
      if (this.#received.length < completionsCountMax) this.#received.push(seq)
      const shipment = pulling.get(seq)
      if (shipment === undefined) continue
      learned = true
      await this.#options.sender.finish(shipment, outcome)
    }
    return learned
  }
}
