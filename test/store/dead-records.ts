/** What of a log may rot without anybody missing it. */
import type { MemoryIndexDisk } from '../../src/index/memory-index.ts'
import { readContents } from '../../src/sim/site-contents.ts'
import { recordKinds } from '../../src/store/tables/records.ts'
import type { ListedRecord } from '../../src/volume/volume.ts'
import type { BareStore } from './bare-store.ts'

const { put, delete: remove, purge, bucket: register, join, remote } = recordKinds
const rotting: readonly number[] = [put, remove, purge, register, join, remote]

/** Records of finished segments to which the index does not refer. */
export async function deadRecords(
  store: BareStore,
  index: MemoryIndexDisk,
): Promise<ListedRecord[]> {
  const { live, tombstones, buckets, ...rest } = readContents(index.durable)
  const places = [...buckets.values()].flatMap(({ register, floorPlace }) => [register, floorPlace])
  const entries = [...live.values(), ...tombstones.values(), ...places]
  const all = [...entries, ...rest.letters, ...rest.conflicts, ...rest.remotes]
  const joins = [...live.values()].map(({ joinLocation }) => ({ location: joinLocation }))
  const needed = new Set(
    [...all, ...joins].map((one) => `${one?.location?.generation}/${one?.location?.offset}`),
  )
  const volume = await store.openVolume()
  const dead: ListedRecord[] = []
  for (const segment of volume.segments()) {
    if (segment.stream !== 'log') continue
    for (const record of await volume.recordsOf(segment)) {
      const { generation, offset } = record.location
      // Uploads and letters begin anew, and that a conflict was resolved may be in the index alone.
      if (!rotting.includes(record.kind)) continue
      if (!needed.has(`${generation}/${offset}`)) dead.push(record)
    }
  }
  await volume.close()
  return dead
}
