/**
 * `npm run bench:verify`: how long it takes to prove two sites equal, and how many bytes that
 * exchanges, while both are being written. Two real processes on this machine ship to each other; both
 * hold the same small objects from a third site. The writers are in this process.
 *
 *     npm run bench:verify -- --objects 1000000 --writes 200
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { Pool } from 'undici'
import type { VerifyDocument } from '../src/admin/verify-protocol.ts'
import { benchArguments, count } from './bench/arguments.ts'
import { bucketOfFill, fillVolume, keyOfFill } from './bench/fill-volume.ts'
import { Pair, type Side } from './bench/pair.ts'
import { machineFacts, progress } from './bench/replication-report.ts'
import { makeBenchFolder, removeBenchFolder } from './bench/site.ts'

const { objects, writes, rounds } = benchArguments(
  'How long it takes to prove two sites equal while both are written.',
  {
    objects: count('1000000', 'at each site'),
    writes: count('200', 'at each site, per second'),
    rounds: count('3', 'comparisons, one after the other'),
  },
)

const sides: readonly Side[] = ['a', 'b']
const lookEveryMs = 20
/** Of the kernel, for what `/proc` counts processor time in. */
const ticksPerSecond = 100

const folder = await makeBenchFolder()
const pair = await Pair.make({ folder, twoWay: true })
try {
  console.info(`${machineFacts()}, ${objects} objects at each of two sites`)
  for (const side of sides) await fillVolume(join(folder, side), objects, `bench-${side}`)
  await pair.start(...sides)
  progress('what they hold is shipped once, since neither knows that the other has it')
  for (const side of sides) await pair.settled(side)
  console.info(`${writes} writes a second at each`)
  let writing = true
  const writers = sides.map((side, at) => keepWriting(side, { at, goesOn: () => writing }))
  try {
    for (let round = 0; round < rounds; round++) await compare()
  } finally {
    writing = false
    await Promise.all(writers)
  }
} finally {
  await pair.stop(...sides)
  await removeBenchFolder(folder)
}

/** Overwrites objects here and there, each write as long after the one before whatever that took. */
async function keepWriting(
  side: Side,
  { at, goesOn }: { readonly at: number; readonly goesOn: () => boolean },
): Promise<void> {
  const pool = new Pool(pair.site(side).url, { connections: 4 })
  try {
    for (let written = at; goesOn(); written++) {
      const key = keyOfFill((written * 7919 * 131 + at) % objects)
      const body = `written ${written}`
      const path = `/${bucketOfFill}/${key}`
      const answer = await pool.request({ path, method: 'PUT', body })
      await answer.body.dump()
      if (answer.statusCode !== 200) throw new Error(`a PUT was answered with ${answer.statusCode}`)
      await delay(1000 / writes)
    }
  } finally {
    await pool.close()
  }
}

async function compare(): Promise<void> {
  const before = await Promise.all(sides.map(processorSeconds))
  await verify('POST')
  let document = await verify('GET')
  for (; document.running !== null; document = await verify('GET')) await delay(lookEveryMs)
  const after = await Promise.all(sides.map(processorSeconds))
  const [result] = document.results
  if (result === undefined) throw new Error('the comparison has no result')
  const { verdict, reason, started_at, checked_at, compared, bytes_exchanged } = result
  const seconds = (Date.parse(checked_at) - Date.parse(started_at)) / 1000
  const spent = sides.map((_, at) => ((after[at] ?? 0) - (before[at] ?? 0)).toFixed(1))
  console.info(
    `${verdict}: ${compared} objects in ${seconds.toFixed(1)} s (processor time of A and B, with ` +
      `what is written meanwhile: ${spent.join(' and ')} s), ` +
      `${Math.round(bytes_exchanged / 1024)} KiB exchanged ${reason ?? ''}`,
  )
}

async function verify(method: 'GET' | 'POST'): Promise<VerifyDocument> {
  const response = await fetch(`${pair.site('a').url}/admin/replication/verify`, {
    method,
    ...(method === 'POST' && { body: '{}', headers: { 'content-type': 'application/json' } }),
  })
  if (!response.ok) throw new Error(`the comparison was answered with ${response.status}`)
  return (await response.json()) as VerifyDocument
}

/** Of all threads, since its start. */
async function processorSeconds(side: Side): Promise<number> {
  const stat = await readFile(`/proc/${pair.site(side).pid}/stat`, 'utf8')
  const [user, system] = stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .slice(11, 13)
  return (Number(user) + Number(system)) / ticksPerSecond
}
