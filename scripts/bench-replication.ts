/**
 * `npm run bench:replication`: how fast changes reach another site, between two real processes on
 * this machine, against the bars of `docs/performance.md`. Each part can be run alone.
 *
 *     npm run bench:replication -- --only backlog,live --seconds 10 --rounds 5
 *     npm run bench:replication -- --only memory --pending 100000
 */
import { parseArgs } from 'node:util'
import { measureBacklog } from './bench/backlog-part.ts'
import { measureLarge } from './bench/large-part.ts'
import { measureLive } from './bench/live-part.ts'
import { measureMemory } from './bench/memory-part.ts'
import { measureRclone } from './bench/rclone-part.ts'
import { type BenchPart, machineFacts, tableOf } from './bench/replication-report.ts'
import { makeBenchFolder, removeBenchFolder } from './bench/site.ts'
import { measureWire } from './bench/wire-part.ts'

const parts: Readonly<Record<string, BenchPart>> = {
  backlog: measureBacklog,
  live: measureLive,
  large: measureLarge,
  wire: measureWire,
  rclone: measureRclone,
  memory: measureMemory,
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: Object.keys(parts).join(',') },
    seconds: { type: 'string', default: '10' },
    rounds: { type: 'string', default: '3' },
    pending: { type: 'string', default: '1000000' },
    connections: { type: 'string', default: '64' },
  },
})

let isMet = true
console.info(machineFacts())
for (const name of values.only.split(',')) {
  const measure = parts[name]
  if (measure === undefined) {
    throw new Error(`no part is called ${name}: ${Object.keys(parts).join(', ')}`)
  }
  const folder = await makeBenchFolder()
  try {
    const findings = await measure({
      folder,
      seconds: Number(values.seconds),
      rounds: Number(values.rounds),
      pending: Number(values.pending),
      connections: Number(values.connections),
    })
    console.info(tableOf(name, findings))
    isMet &&= findings.every(({ met }) => met !== false)
  } finally {
    await removeBenchFolder(folder)
  }
}
console.info(isMet ? 'Every bar is met.' : 'Not every bar is met.')
