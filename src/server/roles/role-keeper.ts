/**
 * What this site is to clients: a primary, which takes their writes, or a replica, which does not.
 * Once it was promoted or demoted the role lies in the volume, beside the superblock: it
 * belongs to the data, survives a lost index, and beats the configuration, so that a restart with an
 * old configuration file cannot make a second primary.
 *
 * A promotion takes a term above every term that the site has heard of. A primary that hears of
 * another one with a higher term was replaced, and steps down by itself. Two that
 * were promoted out of sight of each other may have the same term: then the one whose site id sorts
 * later steps down. Sites that were never promoted have term 0, and may both be primaries.
 */
import type { RoleStatus } from '../../admin/protocol.ts'
import type { Clock } from '../../base/clock.ts'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import type { SmallFiles } from '../../device/small-files.ts'
import { ReplicaReadOnlyError, RoleChangingError } from '../../replication/wire/errors.ts'
import type { SiteRole, Standing } from '../../replication/wire/protocol.ts'
import type { HeardStanding, Roles } from '../../replication/wire/standing.ts'
import { RoleFileError } from '../errors.ts'
import { FirstWord } from './first-word.ts'

interface RoleRecord extends Standing {
  /** Wall ms; undefined while the configuration decides. */
  readonly since: number | undefined
}

export interface SiteRoleOptions {
  readonly siteId: string
  /** Of the volume. */
  readonly files: SmallFiles
  /** What holds until a promotion or demotion; a primary where the configuration says nothing. */
  readonly configured: SiteRole | undefined
  readonly clock: Clock
  readonly logger: Logger
}

export const roleFile = 'role'

export class RoleKeeper implements Roles {
  readonly #options: SiteRoleOptions
  #record: RoleRecord
  /** The highest term that anybody was heard to have. */
  #highestTerm: number
  #primary: { readonly siteId: string; readonly url: string; readonly term: number } | undefined
  #paused = false
  #writes = 0
  #calm: (() => void)[] = []
  #saving: Promise<void> = Promise.resolve()
  /** Writes wait for it. */
  #firstWord: FirstWord | undefined

  private constructor(options: SiteRoleOptions, record: RoleRecord) {
    this.#options = options
    this.#record = record
    this.#highestTerm = record.term
  }

  /** @throws RoleFileError when the role on disk cannot be understood */
  static async open(options: SiteRoleOptions): Promise<RoleKeeper> {
    const { files } = options
    const text = await files.read(roleFile)
    const configured = { role: options.configured ?? 'primary', term: 0, since: undefined }
    const record = text === undefined ? configured : parseRole(text, files.where(roleFile))
    return new RoleKeeper(options, record)
  }

  get record(): RoleRecord {
    return this.#record
  }

  /** The primary's address, when this site is a replica and has heard of one. */
  get primaryUrl(): string | undefined {
    return this.#record.role === 'replica' ? this.#primary?.url : undefined
  }

  standing(): Standing {
    const { role, term } = this.#record
    return { role, term }
  }

  /**
   * A primary that was stopped may have been replaced: the writes of clients wait until the sites at
   * these addresses have said what they are, for `waitMs` at most. Where roles are not used nobody
   * is promoted, and nothing waits.
   */
  awaitWord(urls: readonly string[], waitMs: number): void {
    const { configured, clock, logger } = this.#options
    const { role, since } = this.#record
    const areRolesUsed = configured !== undefined || since !== undefined
    if (role !== 'primary' || !areRolesUsed || urls.length === 0) return
    const onSilence = (silent: readonly string[]): void =>
      logger.warn(
        { silent },
        'This site takes writes without knowing whether another one was promoted meanwhile',
      )
    const firstWord = new FirstWord({ urls, waitMs, clock, onSilence })
    this.#firstWord = firstWord
    void firstWord.over.then(() => {
      this.#firstWord = undefined
    })
  }

  heard({ siteId, url, standing }: HeardStanding): void {
    this.#highestTerm = Math.max(this.#highestTerm, standing.term)
    if (standing.role === 'primary' && this.#isToName(siteId, standing)) {
      this.#primary = { siteId, url, term: standing.term }
    } else if (standing.role === 'replica' && this.#primary?.siteId === siteId) {
      this.#primary = undefined
    }
    if (this.#isReplacedBy(siteId, standing)) {
      this.#stepDown({ siteId, url, standing })
      this.#firstWord?.end()
    }
    this.#firstWord?.heard(url)
  }

  /** Of several primaries, as there are without roles, always the same: clients are not to wander. */
  #isToName(siteId: string, { term }: Standing): boolean {
    const named = this.#primary
    if (named === undefined || named.siteId === siteId) return true
    return term === named.term ? siteId < named.siteId : term > named.term
  }

  #isReplacedBy(siteId: string, standing: Standing): boolean {
    const { role, term } = this.#record
    if (standing.role !== 'primary' || role !== 'primary') return false
    if (standing.term !== term) return standing.term > term
    return term > 0 && siteId < this.#options.siteId
  }

  /** The term that a promotion takes. */
  nextTerm(): number {
    return this.#highestTerm + 1
  }

  /** Durable once resolved; a replica refuses writes from the call on. */
  async become(role: SiteRole, term: number): Promise<void> {
    const before = this.#record
    const record = { role, term, since: this.#options.clock.now() }
    if (role === 'replica') this.#record = record
    try {
      await this.#save(record)
    } catch (error) {
      this.#record = before
      throw error
    }
    this.#record = record
    this.#highestTerm = Math.max(this.#highestTerm, term)
    this.#options.logger.info({ role, term }, 'The role of this site has changed')
  }

  /** What a client's write begins with; what is returned ends it. @throws ReplicaReadOnlyError, RoleChangingError */
  beginWrite(): (() => void) | Promise<() => void> {
    const firstWord = this.#firstWord
    return firstWord === undefined ? this.#begin() : firstWord.over.then(() => this.#begin())
  }

  #begin(): () => void {
    if (this.#record.role === 'replica') throw this.#readOnly()
    if (this.#paused) {
      throw new RoleChangingError('this site is about to become a replica', {
        hint: 'Try again in a few seconds.',
      })
    }
    this.#writes++
    return () => {
      this.#writes--
      if (this.#writes > 0) return
      for (const resolve of this.#calm.splice(0)) resolve()
    }
  }

  /** Takes no writes until resumed. Resolves when those under way have ended. */
  async pause(): Promise<void> {
    this.#paused = true
    if (this.#writes > 0) await new Promise<void>((resolve) => this.#calm.push(resolve))
  }

  resume(): void {
    this.#paused = false
  }

  /** What was written is on disk. */
  async close(): Promise<void> {
    this.#firstWord?.end()
    await this.#saving
  }

  #stepDown({ siteId, url, standing }: HeardStanding): void {
    const { logger, clock } = this.#options
    const { term } = standing
    logger.warn(
      { primary: siteId, url, term },
      'Another site was promoted: this site is a replica from now on',
    )
    // At once for clients, whatever the disk says; after a restart it is heard again.
    this.#record = { role: 'replica', term, since: clock.now() }
    this.#save(this.#record).catch((error: unknown) => {
      logger.error({ error: messageOf(error) }, 'The new role could not be recorded')
    })
  }

  /** One after the other. */
  #save(record: RoleRecord): Promise<void> {
    const text = `${JSON.stringify({ form: 1, ...record })}\n`
    const saving = this.#saving.then(() => this.#options.files.replace(roleFile, text))
    this.#saving = saving.catch(() => undefined) // the caller has it; the next in line goes on
    return saving
  }

  #readOnly(): ReplicaReadOnlyError {
    const primary = this.primaryUrl
    const where =
      primary === undefined ? 'it has not heard of a primary yet' : `write to ${primary}`
    return new ReplicaReadOnlyError(`this site is a replica and takes no writes: ${where}`, {
      hint: 'comio repl promote makes this site the primary.',
      facts: { primary },
    })
  }
}

/** For the control plane's documents. */
export function roleStatus({ record, primaryUrl }: RoleKeeper): RoleStatus {
  const { role, term, since } = record
  return {
    role,
    term,
    since: since === undefined ? null : new Date(since).toISOString(),
    primary: primaryUrl ?? null,
  }
}

function parseRole(text: string, path: string): RoleRecord {
  const options = {
    hint: 'Remove the file; then replication.role of the configuration holds.',
    facts: { path },
  }
  let fields: Readonly<Record<string, unknown>>
  try {
    fields = Object(JSON.parse(text))
  } catch (cause) {
    throw new RoleFileError(`${path} does not tell the role of this site`, { ...options, cause })
  }
  const { form, role, term, since } = fields
  const isKnown = form === 1 && (role === 'primary' || role === 'replica')
  if (!isKnown || !isCount(term) || !isCount(since)) {
    throw new RoleFileError(`${path} does not tell the role of this site`, options)
  }
  return { role, term, since }
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
}
