/** Makes a volume with very many small objects, without a server: what a benchmark then starts one on. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { systemClock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import { systemRandom } from '../../src/base/random.ts'
import { DirectoryDevice } from '../../src/device/directory-device.ts'
import { defaultIndexPath } from '../../src/device/open-device.ts'
import { LevelIndex } from '../../src/index/level-index.ts'
import { openEngine } from '../../src/store/engine.ts'
import type { IncomingChange } from '../../src/store/object-store.ts'
import { objectSlot } from '../../src/store/slot.ts'
import { makeVersion } from '../../src/store/version.ts'
import { Volume } from '../../src/volume/volume.ts'
import { progress } from './replication-report.ts'

/** The keys of a bucket lie in so many folders, evenly. */
export const foldersOfFill = 10
export const bucketOfFill = 'filled'

const atOnce = 2000

/** As another site would have sent them, which is the fastest way in. */
export async function fillVolume(storage: string, objects: number): Promise<void> {
  const volume = await Volume.open({
    device: await DirectoryDevice.open(storage),
    random: systemRandom,
    clock: systemClock,
    logger: silentLogger,
    format: { siteId: undefined },
  })
  const engine = await openEngine({
    volume,
    openIndex: () =>
      LevelIndex.open({ path: defaultIndexPath(storage, 'directory') ?? join(storage, 'index') }),
    clock: systemClock,
    random: systemRandom,
    logger: silentLogger,
    maxClockSkewMs: 300_000,
  })
  try {
    for (let from = 0; from < objects; from += atOnce) {
      const count = Math.min(atOnce, objects - from)
      const outcomes = await engine.apply(
        Array.from({ length: count }, (_, at) => changeOf(from + at)),
        undefined,
      )
      const refused = outcomes.find(({ result }) => result !== 'applied')
      if (refused !== undefined) throw new Error(`an object was not taken: ${refused.result}`)
      if (from % 500_000 === 0) progress(`${from} of ${objects} objects written`)
    }
  } finally {
    await engine.close()
    await volume.close()
  }
}

function changeOf(number: number): IncomingChange {
  const bytes = Buffer.from(`object ${number}`)
  return {
    mutation: {
      kind: 'put',
      slot: objectSlot(bucketOfFill, `folder-${number % foldersOfFill}/object-${number}`),
      version: makeVersion(1_700_000_000_000 + number, 0, 'site-c'),
      context: [],
      meta: {
        size: bytes.length,
        etag: createHash('md5').update(bytes).digest('hex'),
        contentHash: {
          algorithm: 'sha256',
          digest: createHash('sha256').update(bytes).digest(),
        },
        lastModified: 1_700_000_000_000,
        headers: { 'content-type': 'text/plain' },
        userMetadata: {},
      },
    },
    body: { kind: 'inline', bytes },
  }
}
