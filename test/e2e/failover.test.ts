/** docs/failover.md, command by command. */
import { readFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { bytesOf } from './content.ts'
import { pointingAt } from './pair-settings.ts'
import { inParallel } from './parallel.ts'
import { type Ended, runComio } from './run-program.ts'
import { expectEqualBuckets } from './site-contents.ts'
import { type SiteProcess, type SiteSettings, TestBed } from './site-process.ts'
import { NotYet, until } from './until.ts'

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

/** Both ends know the other's address before both run. */
async function startPair(replication: object = {}): Promise<readonly [SiteProcess, SiteProcess]> {
  const b = await bed.site('b', { config: {} }).start()
  const bUrl = b.url
  const a = await bed.site('a', settingsOf(bUrl, 'primary', replication)).start()
  await b.stop()
  await b.start(settingsOf(a.url, 'replica', {}))
  return [a, b]
}

function settingsOf(url: string, role: string, more: object): SiteSettings {
  const settings = pointingAt(url)
  const { replication } = settings.config as { readonly replication: object }
  return { config: { replication: { ...replication, role, ...more } } }
}

/** The commands of the guide, in its order: each is run once it is its turn. */
class Guide {
  readonly #commands: string[]
  readonly #sites: Readonly<Record<string, SiteProcess>>

  private constructor(commands: string[], sites: Readonly<Record<string, SiteProcess>>) {
    this.#commands = commands
    this.#sites = sites
  }

  static async open(a: SiteProcess, b: SiteProcess): Promise<Guide> {
    const text = await readFile(new URL('../../docs/failover.md', import.meta.url), 'utf8')
    const commands = [...text.matchAll(/^ {4}comio (.*)$/gm)].map(([, command = '']) => command)
    return new Guide(commands, { 'http://site-a:8080': a, 'http://site-b:8080': b })
  }

  get left(): number {
    return this.#commands.length
  }

  /** Runs the next command of the guide, which begins like this. */
  async run(beginning: RegExp): Promise<Ended> {
    const command = this.#commands.shift() ?? ''
    expect(command).toMatch(beginning)
    const args = command.split(' ').map((word) => this.#sites[word]?.url ?? word)
    return await runComio(args)
  }
}

const get = async (site: SiteProcess, path: string): Promise<string> =>
  (await site.send('GET', path)).body.toString()

async function role(site: SiteProcess, wanted: string): Promise<void> {
  await site.statusWhen(`it is a ${wanted}`, (status) => status.role.role === wanted)
}

describe('failover', () => {
  test('goes by the guide: A dies with writes that only it has, B takes over, A comes back', async () => {
    const [a, b] = await startPair()
    const guide = await Guide.open(a, b)
    await inParallel(8, 60, (i) => a.put(`/box/early-${i}`, bytesOf(i, 500)))
    await a.shipped()
    await b.statusWhen('B knows its primary', (status) => status.role.primary === a.url)
    expect((await guide.run(/^repl status/)).stdout).toContain(`replica of ${a.url}`)
    expect((await b.send('PUT', '/box/refused')).headers['x-comio-primary']).toBe(a.url)

    await b.kill()
    await inParallel(8, 30, (i) => a.put(`/box/only-at-a-${i}`, bytesOf(i, 700)))
    await a.put('/box/both', 'from a')
    await a.kill()
    await b.start()

    const careful = await guide.run(/^repl promote/)
    expect(careful.code).toBe(1)
    expect(careful.stdout).toContain('what it has not shipped is unknown')
    expect((await guide.run(/^repl promote .*--force/)).code).toBe(0)
    await inParallel(8, 30, (i) => b.put(`/box/late-${i}`, bytesOf(i, 300)))
    await b.put('/box/both', 'from b')
    await b.send('DELETE', '/box/early-7')

    await a.start()
    expect((await a.send('PUT', '/box/too-late')).status).toBe(403)
    await role(a, 'replica')
    await Promise.all([a.shipped(), b.shipped()])
    const ofA = await guide.run(/^repl status/)
    expect(ofA.stdout).toContain(`replica of ${b.url}`)
    expect(ofA.stdout).toContain('everything has arrived')
    expect((await guide.run(/^repl status/)).stdout).toContain('everything has arrived')
    const objects = await expectEqualBuckets([a, b], 'box', 20)
    expect(objects).toHaveLength(60 - 1 + 30 + 30 + 1)
    expect(await get(a, '/box/both')).toBe('from b')

    const demoted = await guide.run(/^repl demote/)
    expect(demoted).toMatchObject({ code: 0, stderr: '' })
    expect(demoted.stdout).toContain('this site is a replica now')
    const promoted = await guide.run(/^repl promote/)
    expect(promoted).toMatchObject({ code: 0, stderr: '' })
    expect(promoted.stdout).toContain('is a replica and has shipped everything to this site')
    await a.put('/box/after', 'after')
    await a.shipped()
    expect(await get(b, '/box/after')).toBe('after')
    expect((await b.send('PUT', '/box/refused')).status).toBe(403)
    expect(guide.left).toBe(0)
  })

  test('by demote and promote loses none of the writes that go on meanwhile', async () => {
    const [a, b] = await startPair()
    await a.put('/box/first', 'x')
    const answered: string[] = []
    let isOver = false
    const writing = inParallel(8, 100_000, async (i) => {
      if (isOver) return
      const path = `/box/w-${i}`
      for (const site of [a, b]) {
        const { status } = await site.send('PUT', path, { body: path })
        if (status === 200) answered.push(path)
        if (status === 200) return
      }
    })
    await until('some are written', async () =>
      answered.length > 50 ? true : new NotYet(answered.length),
    )
    expect((await runComio(['repl', 'demote', '--url', a.url])).code).toBe(0)
    expect((await runComio(['repl', 'promote', '--url', b.url])).code).toBe(0)
    const soFar = answered.length
    await until('more are written', async () =>
      answered.length > soFar + 50 ? true : new NotYet(answered.length),
    )
    isOver = true
    await writing
    await Promise.all([a.shipped(), b.shipped()])
    const objects = await expectEqualBuckets([a, b], 'box', 200)
    const keys = new Set(objects.map(({ key }) => `/box/${key}`))
    expect(answered.filter((path) => !keys.has(path))).toEqual([])
    const { remotes } = await a.status()
    expect(remotes[0]?.remote_conflicts).toBe(0)
  })
})

test('In sync mode, an answered write is durable at the remote too', async () => {
  const [a, b] = await startPair({ mode: 'sync', sync_timeout: '30s' })
  await a.put('/box/first', 'x')
  for (let round = 0; round < 2; round++) {
    const answered: string[] = []
    let isKilled = false
    const writing = inParallel(16, 2000, async (i) => {
      if (isKilled) return
      const path = `/box/${round}-${i}`
      const answer = await a.send('PUT', path, { body: bytesOf(i, 900) }).catch(() => undefined)
      if (answer?.status === 200 && !isKilled) answered.push(path)
    })
    await until('some are answered', async () =>
      answered.length > 50 ? true : new NotYet(answered.length),
    )
    isKilled = true
    await Promise.all([a.kill(), b.kill()])
    await writing
    // B alone: nothing can arrive any more.
    await b.start()
    const missing: string[] = []
    await inParallel(16, answered.length, async (i) => {
      const path = answered[i] ?? ''
      if ((await b.send('HEAD', path)).status !== 200) missing.push(path)
    })
    expect(missing).toEqual([])
    await a.start()
  }
})
