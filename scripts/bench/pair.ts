/** Two sites on loopback, of which one ships to the other, with fixed ports so that either can be away. */
import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { ReplicationStatusDocument } from '../../src/admin/protocol.ts'
import { type BenchSite, startSite } from './site.ts'

const token = 'bench-token-0123456789abcdef0123456789abcdef01234567'
/** How often the figures are looked at while something is waited for. */
const lookEveryMs = 50
/** Without progress for this long, a wait has failed. */
const stallMs = 120_000

export type Side = 'a' | 'b'

export interface PairOptions {
  readonly folder: string
  /** `b` ships to `a` too. */
  readonly twoWay?: boolean
  /** Where the one finds the other, when that is not its own port. */
  readonly via?: Partial<Record<Side, number>>
}

export class Pair {
  readonly ports: Readonly<Record<Side, number>>
  readonly #folder: string
  readonly #running = new Map<Side, BenchSite>()

  private constructor(folder: string, ports: Readonly<Record<Side, number>>) {
    this.#folder = folder
    this.ports = ports
  }

  /** Prepares two empty sites in a folder of their own; neither runs yet. */
  static async make(options: PairOptions): Promise<Pair> {
    const ports = { a: await freePort(), b: await freePort() }
    const { folder, twoWay = false, via = {} } = options
    await mkdir(folder, { recursive: true })
    for (const side of ['a', 'b'] as const) {
      const other = side === 'a' ? 'b' : 'a'
      const ships = side === 'a' || twoWay
      const remote = `http://127.0.0.1:${via[other] ?? ports[other]}`
      const replication = {
        accept_tokens: [token],
        ...(ships ? { enabled: true, remote_url: remote, remote_token: token } : {}),
        // The pause between two looks for a remote that was away is not what is measured.
        retry_delay: '100ms',
      }
      await writeFile(join(folder, `${side}.yaml`), JSON.stringify({ replication }))
    }
    return new Pair(folder, ports)
  }

  site(side: Side): BenchSite {
    const site = this.#running.get(side)
    if (site === undefined) throw new Error(`site ${side} does not run`)
    return site
  }

  /** Starts sites; resolves when they listen. */
  async start(...sides: readonly Side[]): Promise<void> {
    for (const side of sides) {
      const args = ['--config', join(this.#folder, `${side}.yaml`), '--site-id', `bench-${side}`]
      const port = this.ports[side]
      this.#running.set(side, await startSite(join(this.#folder, side), { port, args }))
    }
  }

  async stop(...sides: readonly Side[]): Promise<void> {
    for (const side of sides) {
      await this.#running.get(side)?.stop()
      this.#running.delete(side)
    }
  }

  async status(side: Side): Promise<ReplicationStatusDocument> {
    const response = await fetch(`${this.site(side).url}/admin/replication/status`)
    if (!response.ok) throw new Error(`the status was answered with ${response.status}`)
    return (await response.json()) as ReplicationStatusDocument
  }

  /** Resolves when nothing of `side` is pending; `look` is called with each status on the way. */
  async settled(
    side: Side,
    look: (status: ReplicationStatusDocument) => void | Promise<void> = () => undefined,
  ): Promise<void> {
    let last = Number.POSITIVE_INFINITY
    let movedAt = performance.now()
    for (;;) {
      const status = await this.status(side)
      await look(status)
      if (status.pending === 0) return
      if (status.pending !== last) movedAt = performance.now()
      last = status.pending
      if (performance.now() - movedAt > stallMs) {
        const reason = status.remotes[0]?.last_error ?? 'no reason is known'
        throw new Error(`${last} changes stay pending: ${reason}`)
      }
      await delay(lookEveryMs)
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (typeof address !== 'object' || address === null) throw new Error('no port is free')
  return address.port
}
