/** Two sites that ship to each other over a network, with clocks and with tokens that go wrong. */
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'
import type { ConflictDocument, ConflictsDocument } from '../../src/admin/conflict-protocol.ts'
import type { FailedDocument } from '../../src/admin/protocol.ts'
import { runComio } from '../e2e/run-program.ts'
import type { SiteProcess, SiteSettings, TestBed } from '../e2e/site-process.ts'
import { NotYet, until } from '../e2e/until.ts'
import { FaultProxy } from './fault-proxy.ts'
import type { SiteNumber } from './write-history.ts'

const names = ['a', 'b'] as const
const steppedClock = fileURLToPath(new URL('./stepped-clock.ts', import.meta.url))

export const other = (site: SiteNumber): SiteNumber => (site === 0 ? 1 : 0)

export class FaultyPair {
  readonly sites: readonly [SiteProcess, SiteProcess]
  /** In front of each site: what the other one sends to it passes there. */
  readonly proxies: readonly [FaultProxy, FaultProxy]
  readonly #bed: TestBed
  /** What each site accepts, and the other one shows. */
  readonly #tokens = ['', '']
  #tokensMade = 0

  private constructor(bed: TestBed, proxies: readonly [FaultProxy, FaultProxy]) {
    this.#bed = bed
    this.proxies = proxies
    this.sites = [bed.site('a'), bed.site('b')]
  }

  static async start(bed: TestBed): Promise<FaultyPair> {
    const proxies = await Promise.all([FaultProxy.listen(), FaultProxy.listen()])
    const pair = new FaultyPair(bed, proxies)
    for (const site of [0, 1] as const) {
      pair.#tokens[site] = pair.#newToken()
      await pair.#writeToken(site)
      await pair.setClock(site, 0)
    }
    for (const site of [0, 1] as const) await pair.startSite(site)
    return pair
  }

  async close(): Promise<void> {
    await Promise.all(this.proxies.map((proxy) => proxy.close()))
  }

  async startSite(site: SiteNumber): Promise<void> {
    await this.sites[site].start(this.#settingsOf(site))
    this.proxies[site].passTo(this.sites[site].url)
  }

  /** Its wall clock is so far off from now on, also after a restart. */
  async setClock(site: SiteNumber, aheadMs: number): Promise<void> {
    await writeFile(this.#clockFile(site), String(aheadMs))
  }

  /** `site`, which runs, accepts another token from now on, and then the other one shows it. */
  async rotateToken(site: SiteNumber): Promise<void> {
    this.#tokens[site] = this.#newToken()
    await writeFile(this.sites[site].configFile, JSON.stringify(this.#configOf(site)))
    process.kill(this.sites[site].pid, 'SIGHUP')
    await this.#writeToken(site)
  }

  /** The network is fair, the clocks are right, everything is shipped, and nobody has refused anything. */
  async rest(): Promise<void> {
    for (const proxy of this.proxies) proxy.weather = { kind: 'fair' }
    for (const site of [0, 1] as const) await this.setClock(site, 0)
    let before = ''
    await until('both sites are at rest', async () => {
      const statuses = await Promise.all(this.sites.map((site) => site.status()))
      const said = JSON.stringify(
        statuses.map(({ pending, remotes: [remote] }) => [
          pending,
          remote?.head,
          remote?.state,
          remote?.last_error,
        ]),
      )
      const isAtRest = said === before && statuses.every(({ pending }) => pending === 0)
      before = said
      return isAtRest ? true : new NotYet(said)
    })
    for (const site of this.sites) {
      expect(await site.json<FailedDocument>('GET', '/admin/replication/failed')).toEqual({
        failed: [],
      })
    }
  }

  /** Compares all bytes, from one of them. */
  async expectEqual(): Promise<void> {
    const ended = await runComio(['repl', 'verify', '--deep', '--url', this.sites[0].url])
    expect(ended.stdout + ended.stderr).toMatch(/^default: equal/)
    expect(ended.code).toBe(0)
  }

  /** The conflicts that either has noticed. */
  async conflicts(): Promise<readonly ConflictDocument[]> {
    const found: ConflictDocument[] = []
    for (const site of this.sites) {
      for (let before = ''; ; ) {
        const path = `/admin/replication/conflicts?limit=1000${before}`
        const { conflicts, dropped } = await site.json<ConflictsDocument>('GET', path)
        expect(dropped).toBe(0)
        found.push(...conflicts)
        const last = conflicts.at(-1)
        if (last === undefined) break
        before = `&before=${last.id}`
      }
    }
    return found
  }

  #settingsOf(site: SiteNumber): SiteSettings {
    return {
      config: this.#configOf(site),
      args: ['--advertise-url', this.proxies[site].url],
      env: {
        NODE_OPTIONS: `--import ${steppedClock}`,
        STEPPED_CLOCK: this.#clockFile(site),
      },
    }
  }

  #configOf(site: SiteNumber): object {
    return {
      replication: {
        enabled: true,
        remote_url: this.proxies[other(site)].url,
        remote_token_file: this.#tokenFile(other(site)),
        accept_tokens: [this.#tokens[site]],
        retry_delay: '300ms',
        inline_limit: '128KiB',
      },
    }
  }

  #newToken(): string {
    this.#tokensMade++
    return `fault-token-${this.#tokensMade}-0123456789abcdef0123456789abcdef`
  }

  async #writeToken(site: SiteNumber): Promise<void> {
    await writeFile(this.#tokenFile(site), this.#tokens[site] ?? '', { mode: 0o600 })
  }

  /** What is shown to `site`. */
  #tokenFile(site: SiteNumber): string {
    return this.#bed.path(`for-${names[site]}.token`)
  }

  #clockFile(site: SiteNumber): string {
    return this.#bed.path(`clock-${names[site]}`)
  }
}
