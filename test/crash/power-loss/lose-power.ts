/**
 * Power loss under the real volume and the real index: a traced program writes; at any moment of what
 * it did, the power fails; the site is opened on what is found then, and held against what the program
 * was told.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { IndexOpenError } from '../../../src/index/errors.ts'
import { LevelIndex } from '../../../src/index/level-index.ts'
import { SortedMap } from '../../../src/index/sorted-map.ts'
import { Chance } from '../../../src/sim/chance.ts'
import { recount } from '../../../src/sim/recount.ts'
import { readContents } from '../../../src/sim/site-contents.ts'
import { bytesOf } from '../../e2e/content.ts'
import { TestStore } from '../../store/open-store.ts'
import { FolderHistory } from './folder-history.ts'
import { type DiskEvent, traceProgram } from './system-calls.ts'
import { segmentBytes, sizeOf, Told } from './written.ts'

const program = join(import.meta.dirname, 'write-much.ts')

export interface PowerLossCounts {
  readonly events: number
  /** Moments at which the power failed, and those of them at which something was undecided. */
  readonly losses: number
  readonly undecided: number
  readonly objects: number
  /** So often the index was no index, and was built anew. */
  readonly rebuilt: number
}

type Counts = { -readonly [name in keyof PowerLossCounts]: number }

/** What is left after a power loss, and what may be there. */
interface Found {
  readonly folder: string
  readonly told: Told
  readonly where: string
  readonly counts: Counts
}

export interface PowerLossOptions {
  readonly seed: number
  /** How often the power fails in each round, at moments of the seed's choice. */
  readonly losses: number
  /** The program begins each further round on what a power loss in the one before has left. */
  readonly rounds: number
  /** For planted bugs: what the disk makes of what happened. */
  readonly disk?: (events: readonly DiskEvent[]) => readonly DiskEvent[]
}

/** @throws when something that was answered is gone, or anything is there in halves */
export async function losePower(options: PowerLossOptions): Promise<PowerLossCounts> {
  const folder = await mkdtemp(join(fastFolder(), 'comio-power-'))
  try {
    const counts = { events: 0, losses: 0, undecided: 0, objects: 0, rebuilt: 0 }
    const told = new Told()
    let root = join(folder, 'site-0')
    mkdirSync(root)
    for (let round = 0; round < options.rounds; round++) {
      const next = join(folder, `site-${round + 1}`)
      mkdirSync(next)
      await new Round({ ...options, folder, root, next, round, told, counts }).run()
      root = next
    }
    return counts
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Where syncs cost nothing: what they do is in the trace, and what is not on the platter is left out here. */
function fastFolder(): string {
  return existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
}

interface RoundOptions extends PowerLossOptions {
  readonly folder: string
  readonly root: string
  /** Where the next round begins: what is left here at the last moment. */
  readonly next: string
  readonly round: number
  readonly told: Told
  readonly counts: Counts
}

class Round {
  readonly #options: RoundOptions

  constructor(options: RoundOptions) {
    this.#options = options
  }

  async run(): Promise<void> {
    const { seed, losses, rounds, round, root, folder, told, counts, next } = this.#options
    const { disk = (events) => events } = this.#options
    const history = new FolderHistory(root)
    const number = String(seed * rounds + round)
    const events = disk(traceProgram([program, root, number], join(folder, 'trace')))
    const chance = new Chance(seed).fork(`moments ${round}`)
    const moments = new Set<number>()
    while (moments.size < Math.min(losses, events.length)) moments.add(chance.below(events.length))
    const last = Math.max(...moments)
    for (const [at, event] of events.slice(0, last + 1).entries()) {
      history.apply(event)
      if (event.kind === 'said') told.hear(event.line)
      if (!moments.has(at)) continue
      if (history.undecided > 0) counts.undecided++
      counts.losses++
      counts.objects += await this.#loseAt(at, history)
      if (at === last) history.lose(new Chance(seed).fork(`at ${at}`), next)
    }
    counts.events += events.length
  }

  async #loseAt(at: number, history: FolderHistory): Promise<number> {
    const { seed, round, told, counts } = this.#options
    const folder = join(this.#options.folder, `at-${at}`)
    mkdirSync(folder)
    history.lose(new Chance(seed).fork(`at ${at}`), folder)
    const where = `seed ${seed}, round ${round}, event ${at}`
    const count = await verify({ folder, told, where, counts })
    await rm(folder, { recursive: true })
    return count
  }
}

/** Opens what was found, twice; returns how many objects it has. */
async function verify(found: Found): Promise<number> {
  const { folder, told, where } = found
  const store = await openStore(found)
  try {
    const before = await contentsIn(store, told, where)
    await store.reopen()
    expect(await contentsIn(store, told, where), where).toEqual(before)
    const segments = store.volume.segments()
    await store.close()
    recount('here', readContents(await indexIn(folder)), segments)
    return [...before.values()].filter((content) => content !== 0).length
  } finally {
    await store.close()
  }
}

/**
 * As the server does it: an index that does not open is built anew. LevelDB leaves one behind when the
 * power fails while it makes its first files, which it does not sync before it names them.
 */
async function openStore(found: Found): Promise<TestStore> {
  const { folder, where, counts } = found
  try {
    return await TestStore.openAt(folder, { segmentBytes })
  } catch (error) {
    if (!(error instanceof IndexOpenError)) throw new Error(`${where}: ${error}`, { cause: error })
    counts.rebuilt++
    await rm(join(folder, 'index'), { recursive: true })
    return await TestStore.openAt(folder, { segmentBytes })
  }
}

async function contentsIn(
  store: TestStore,
  told: Told,
  where: string,
): Promise<ReadonlyMap<string, number>> {
  const contents = new Map<string, number>()
  for (const key of told.keys) {
    const bytes = await store.get('load', key)
    const mayBe = told.mayBe(key)
    const content = mayBe.find((one) =>
      one === 0 ? bytes === undefined : bytes?.equals(bytesOf(one, sizeOf(one))),
    )
    const size = bytes === undefined ? 'nothing' : `${bytes.length} bytes`
    expect(content, `${where}: ${key} is ${size}, not one of ${mayBe}`).toBeDefined()
    contents.set(key, content ?? 0)
  }
  return contents
}

async function indexIn(folder: string): Promise<SortedMap> {
  const index = await LevelIndex.open({ path: join(folder, 'index') })
  const cursor = index.iterate({ gte: Buffer.alloc(0), lt: Buffer.alloc(1, 0xff) })
  let map = SortedMap.empty
  for (;;) {
    const entries = await cursor.next(1000)
    for (const [key, value] of entries) map = map.with(key, value)
    if (entries.length === 0) break
  }
  await cursor.close()
  await index.close()
  return map
}
