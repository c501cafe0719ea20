/**
 * The long form of the crash suites: `npm run test:crash`. In the environment, `SEED` says from which
 * seed, `SEEDS` how many, `LOSSES` how often the power fails under the real index, `KILLS` how often a
 * real process is killed.
 */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { losePower } from '../crash/power-loss/lose-power.ts'
import { reasonNotToTrace } from '../crash/power-loss/system-calls.ts'
import { passCrashSeeds } from '../crash/run-crash-seeds.ts'
import { RecordedLoad } from '../e2e/recorded-load.ts'
import { TestBed } from '../e2e/site-process.ts'

const seed = Number(process.env.SEED ?? 1)
const seeds = Number(process.env.SEEDS ?? 10_000)
const losses = Number(process.env.LOSSES ?? 600)
const kills = Number(process.env.KILLS ?? 100)
/** So often the power fails in one traced run of the program. */
const lossesEach = 60

let bed: TestBed

beforeEach(async () => {
  bed = await TestBed.make()
})

afterEach(() => bed.remove())

test(`${seeds} sites that crash at random steps have every answered write, and counts that agree`, async () => {
  const totals = await passCrashSeeds({ from: seed, count: seeds })
  const said = ['crash-power', 'crash-kill', 'start-failed', 'answered', 'failed', 'refused']
  const summary = said.map((what) => `${what} ${totals.get(what) ?? 0}`).join(', ')
  process.stderr.write(`${seeds} seeds from ${seed}: ${summary}\n`)
})

const reason = reasonNotToTrace()
if (reason !== undefined)
  process.stderr.write(`power loss under the real index is skipped: ${reason}\n`)

test.skipIf(reason !== undefined)(
  `volume and LevelDB have every answered write after ${losses} power losses at any system call`,
  async () => {
    for (let at = 0; at * lossesEach < losses; at++) {
      const counts = await losePower({ seed: seed + at, losses: lossesEach / 2, rounds: 2 })
      process.stderr.write(`power loss, seed ${seed + at}: ${JSON.stringify(counts)}\n`)
    }
  },
)

test(`a site killed ${kills} times under load has every answered write after each start`, async () => {
  process.stderr.write(`again: SEED=${seed} KILLS=${kills} npm run test:crash -- -t killed\n`)
  const site = bed.site('a', { args: ['--size', '256MiB'] })
  const random = seededRandom(seed)
  const load = new RecordedLoad(seed)
  for (let kill = 0; kill < kills; kill++) {
    await site.start()
    await load.verify(site)
    await load.run(site, 20 + randomBelow(random, 180), () => site.kill())
    if (kill % 10 === 4) await site.killInStart('"msg":"Volume opened"')
    if (kill % 10 === 9) await site.killInStart('"msg":"Index brought up to the log"')
  }
  await site.start()
  await load.verify(site)
  expect(await site.stop()).toBe(0)
})
