/**
 * `npm run bench:replication`: how fast changes reach another site, between two real processes on
 * this machine, against the bars of `docs/performance.md`. Each part can be run alone.
 *
 *     npm run bench:replication -- --only backlog,live --seconds 10 --rounds 5
 *     npm run bench:replication -- --only memory --pending 100000
 */
import { benchArguments, count, positive, some } from './bench/arguments.ts'
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

const values = benchArguments('How fast changes reach another site.', {
  only: some(Object.keys(parts), 'which parts'),
  seconds: positive('10', 'how long each measurement takes'),
  rounds: count('3', 'medians are taken over so many'),
  pending: count('1000000', 'changes in the part memory'),
  connections: count('64', 'of the load'),
})

let isMet = true
console.info(machineFacts())
for (const name of values.only) {
  const measure = parts[name]
  if (measure === undefined) continue
  const folder = await makeBenchFolder()
  try {
    const findings = await measure({
      folder,
      seconds: values.seconds,
      rounds: values.rounds,
      pending: values.pending,
      connections: values.connections,
    })
    console.info(tableOf(name, findings))
    isMet &&= findings.every(({ met }) => met !== false)
  } finally {
    await removeBenchFolder(folder)
  }
}
console.info(isMet ? 'Every bar is met.' : 'Not every bar is met.')
