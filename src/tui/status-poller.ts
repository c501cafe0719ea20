import type { ReplicationStatusDocument } from '../admin/protocol.ts'
import { ComioError, messageOf } from '../base/errors.ts'
import { StatusHistory } from './status-history.ts'
import type { StatusSource } from './status-source.ts'
import { type SourceFailure, type StatusView, viewLink, viewSite } from './status-view.ts'

export interface StatusPollerOptions {
  readonly source: StatusSource
  readonly url: string
  readonly intervalMs: number
  readonly onView: (view: StatusView) => void
  /** The view could not be made or shown. */
  readonly onError: (error: unknown) => void
}

/** A site that takes longer than this is shown as not answering. */
const patienceMs = 5_000

/** Asks the site again and again, one question at a time, and tells what is known after each beat. */
export class StatusPoller {
  readonly #options: StatusPollerOptions
  readonly #history = new StatusHistory()
  #document: ReplicationStatusDocument | undefined
  #asOf: Date | undefined
  #failure: SourceFailure | undefined
  #askedAt: Date | undefined
  #timer: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: StatusPollerOptions) {
    this.#options = options
  }

  start(): void {
    this.#beatOrFail()
    this.#timer = setInterval(() => this.#beatOrFail(), this.#options.intervalMs)
  }

  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  get view(): StatusView {
    const now = new Date()
    return {
      url: this.#options.url,
      now,
      siteId: this.#document?.site_id,
      role: this.#document?.role.role,
      asOf: this.#asOf,
      failure: this.#failure ?? this.#silence(now),
      rows: this.#document === undefined ? [] : viewSite(this.#document, now),
      links: (this.#document?.remotes ?? []).map((remote) => viewLink(remote, this.#history, now)),
    }
  }

  /** Asks once. Failures are kept for the view and thrown. */
  async ask(): Promise<void> {
    this.#askedAt = new Date()
    try {
      this.#document = await this.#options.source.status()
      this.#asOf = new Date()
      this.#history.add(this.#document, performance.now())
      this.#failure = undefined
    } catch (error) {
      this.#failure = {
        message: messageOf(error),
        hint: error instanceof ComioError ? error.hint : undefined,
        since: this.#failure?.since ?? new Date(),
      }
      throw error
    } finally {
      this.#askedAt = undefined
    }
  }

  async #beat(): Promise<void> {
    // A failure to ask is in the view already, and the next beat asks again.
    if (this.#askedAt === undefined) await this.ask().catch(() => undefined)
    // A frame drawn after the screen was left would take the keyboard again.
    if (!this.#stopped) this.#options.onView(this.view)
  }

  #beatOrFail(): void {
    this.#beat().catch(this.#options.onError)
  }

  #silence(now: Date): SourceFailure | undefined {
    const since = this.#askedAt
    if (since === undefined || now.getTime() - since.getTime() < patienceMs) return undefined
    return { message: 'the site takes its time to answer', hint: undefined, since }
  }
}
