/**
 * Promotion and demotion: first what speaks against it, then the change. A promotion asks the other
 * sites whether one of them is primary and what they have still to ship here. A demotion stops the
 * writes of clients, waits until everything is shipped, and takes them again if that fails: so a
 * change of roles that was not forced loses nothing and leaves no conflict behind.
 */
import type { RoleCheck, RoleDocument, RoleRequestDocument } from '../../admin/protocol.ts'
import { type Clock, delay } from '../../base/clock.ts'
import { formatDuration } from '../../base/duration.ts'
import { countOf } from '../../base/format-count.ts'
import type { LinkStatus } from '../../replication/send/link.ts'
import type { RemoteReport } from '../../replication/wire/standing.ts'
import type { RemoteLedger } from '../../store/model/object-store.ts'
import type { RoleKeeper } from './role-keeper.ts'

export interface RoleControlOptions {
  readonly keeper: RoleKeeper
  readonly ask: (waitMs: number) => Promise<readonly RemoteReport[]>
  /** Of the remotes that this site ships to. */
  readonly ledgers: () => readonly Pick<RemoteLedger, 'remote' | 'counters'>[]
  readonly links: () => Promise<readonly Pick<LinkStatus, 'name' | 'delayed'>[]>
  /** Names of those that could be asked if they were resumed. */
  readonly paused: () => readonly string[]
  readonly clock: Clock
  /** Whether the site is on its way down. */
  readonly closing: () => boolean
}

const askMs = 5000
const drainMs = 10_000
const lookMs = 20

export class RoleControl {
  readonly #options: RoleControlOptions
  #turn: Promise<unknown> = Promise.resolve()

  constructor(options: RoleControlOptions) {
    this.#options = options
  }

  /** One change after the other. */
  change(order: RoleRequestDocument): Promise<RoleDocument> {
    const turn = this.#turn.then(() => this.#change(order))
    this.#turn = turn.catch(() => undefined) // the caller has it; the next in line goes on
    return turn
  }

  async #change({
    role,
    force = false,
    dry_run = false,
  }: RoleRequestDocument): Promise<RoleDocument> {
    const { keeper, ask, paused } = this.#options
    if (keeper.record.role === role) return this.#document('unchanged', [])
    const reports = await ask(askMs)
    const checks =
      reports.length === 0 ? [nobodyToAsk(role, paused())] : await this.#checks(role, reports)
    if (dry_run) return this.#document('planned', checks)
    const isSafe = checks.every(({ ok }) => ok)
    if (!isSafe && !force) return this.#document('refused', checks)
    if (role === 'primary') await keeper.become('primary', keeper.nextTerm())
    else {
      const left = await this.#demote({ mayLack: force, isWorthAWait: isSafe })
      if (left !== undefined) return this.#document('refused', [...checks, left])
    }
    // The others are to know at once: a primary that was replaced steps down by it.
    await ask(askMs)
    return this.#document('changed', checks)
  }

  #document(outcome: RoleDocument['outcome'], checks: readonly RoleCheck[]): RoleDocument {
    const { role, term } = this.#options.keeper.record
    return { role, term, outcome, checks }
  }

  async #checks(
    role: RoleRequestDocument['role'],
    reports: readonly RemoteReport[],
  ): Promise<readonly RoleCheck[]> {
    if (role === 'primary') return promotionChecks(reports)
    const { ledgers, links } = this.#options
    return demotionChecks(reports, { ledgers: ledgers(), links: await links() })
  }

  /** What is left when not everything could be shipped, undefined when this site is a replica now. */
  async #demote(how: {
    readonly mayLack: boolean
    readonly isWorthAWait: boolean
  }): Promise<RoleCheck | undefined> {
    const { keeper } = this.#options
    try {
      const paused = keeper.pause()
      if (how.isWorthAWait && !(await this.#shipped(paused)) && !how.mayLack) {
        const pending = pendingOf(this.#options.ledgers())
        return {
          ok: false,
          text: `${countOf(pending, 'change')} still on the way after ${formatDuration(drainMs)}: this site stays primary`,
        }
      }
      await keeper.become('replica', keeper.record.term)
      return undefined
    } finally {
      keeper.resume()
    }
  }

  /** Whether the writes under way have ended and everything is shipped, within a bound. */
  async #shipped(paused: Promise<void>): Promise<boolean> {
    const { clock, ledgers, closing } = this.#options
    let isCalm = false
    paused.then(
      () => {
        isCalm = true
      },
      () => undefined, // it never rejects
    )
    const deadline = clock.monotonic() + drainMs
    while (clock.monotonic() < deadline && !closing()) {
      await delay(clock, lookMs)
      if (isCalm && pendingOf(ledgers()) === 0) return true
    }
    return false
  }
}

function pendingOf(ledgers: readonly Pick<RemoteLedger, 'counters'>[]): number {
  return ledgers.reduce((sum, ledger) => sum + ledger.counters().pending, 0)
}

export function nobodyToAsk(
  role: RoleRequestDocument['role'],
  paused: readonly string[],
): RoleCheck {
  const [first] = paused
  const why =
    first === undefined
      ? 'this site ships to no remote'
      : `what this site ships to is paused (comio repl resume ${first})`
  const meaning =
    role === 'primary'
      ? 'nobody can be asked for the primary, and what it has not shipped is unknown'
      : 'nobody else would take the writes'
  return { ok: false, text: `${why}: ${meaning}` }
}

/** What speaks for and against making this site the primary. */
export function promotionChecks(reports: readonly RemoteReport[]): readonly RoleCheck[] {
  return reports.map((report) => {
    if (!report.answers) {
      return {
        ok: false,
        text: `remote ${report.remote} does not answer (${report.reason}): what it has not shipped is unknown, and is merged when it is back`,
      }
    }
    const { siteId, standing, owes } = report
    if (standing?.role === 'primary') {
      return {
        ok: false,
        text: `${siteId} answers and is the primary: run comio repl demote there first`,
      }
    }
    if (owes === undefined) {
      return {
        ok: false,
        text: `${siteId} does not ship to this site: what it has is unknown here`,
      }
    }
    if (owes > 0) {
      return {
        ok: false,
        text: `${siteId} has still ${countOf(owes, 'change')} to ship to this site`,
      }
    }
    return { ok: true, text: `${siteId} is a replica and has shipped everything to this site` }
  })
}

/** What speaks for and against making this site a replica. */
export function demotionChecks(
  reports: readonly RemoteReport[],
  {
    ledgers,
    links,
  }: {
    readonly ledgers: ReturnType<RoleControlOptions['ledgers']>
    readonly links: Awaited<ReturnType<RoleControlOptions['links']>>
  },
): readonly RoleCheck[] {
  return reports.map((report) => {
    const ledger = ledgers.find(({ remote }) => remote === report.remote)
    const pending = ledger?.counters().pending ?? 0
    if (!report.answers) {
      const text = `remote ${report.remote} does not answer (${report.reason}), and lacks ${countOf(pending, 'change')} of this site`
      return { ok: false, text }
    }
    const held = ledger?.counters().held ?? 0
    if (held > 0) {
      const text = `${report.siteId} answers, and ${held} deletes for it are held: comio repl release or discard decides about them first`
      return { ok: false, text }
    }
    const delayed = links.find(({ name }) => name === report.remote)?.delayed
    if (delayed !== undefined) {
      const text = `${report.siteId} answers, and lacks ${countOf(delayed.count, 'change')} for its apply_delay: comio repl release ${report.remote} sends them first`
      return { ok: false, text }
    }
    const text =
      pending === 0
        ? `${report.siteId} answers and has everything`
        : `${report.siteId} answers, and is to receive ${countOf(pending, 'more change')} first`
    return { ok: true, text }
  })
}
